// The reference at /docs: Swagger UI on this service's OpenAPI document, in the reader's colours.

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  defaultModelsExpandDepth: -1, // the schemas stand at each route already
  validatorUrl: null, // it would be asked over the internet
});
