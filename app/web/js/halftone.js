// The picture on the empty page: a ball under three coloured lights, printed as a press would.

// Screen angles are the press's own; equal angles would beat against each other as moiré.
const SCREENS = [
  { ink: "--cyan", angle: 15, light: [-0.75, -0.35, 0.55] },
  { ink: "--magenta", angle: 75, light: [-0.1, -0.85, 0.5] },
  { ink: "--yellow", angle: 0, light: [-0.55, -0.7, 0.45] },
];
const DOTS_ACROSS = 34;

/** Print onto `canvas`, again whenever the colour scheme changes. */
export function printBall(canvas) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const print = () => printOnce(canvas, dark.matches);
  dark.addEventListener("change", print);
  print();
}

function printOnce(canvas, onBlack) {
  const context = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  context.clearRect(0, 0, canvas.width, canvas.height);
  // Inks on paper take light away, lights on black add to it.
  context.globalCompositeOperation = onBlack ? "screen" : "multiply";
  for (const { ink, angle, light } of SCREENS) {
    context.fillStyle = style.getPropertyValue(ink);
    const unit = light.map((value) => value / Math.hypot(...light));
    screen(context, angle, (x, y) => coverage(x, y, unit, onBlack));
  }
}

/** Dots on a turned grid, as large as `tone(x, y)` in 0–1 asks; x and y run from -1 to 1. */
function screen(context, degrees, tone) {
  const half = context.canvas.width / 2;
  const pitch = context.canvas.width / DOTS_ACROSS;
  const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  for (let i = -DOTS_ACROSS; i <= DOTS_ACROSS; i++) {
    for (let j = -DOTS_ACROSS; j <= DOTS_ACROSS; j++) {
      const [x, y] = [(i * cos - j * sin) * pitch, (i * sin + j * cos) * pitch];
      const radius = pitch * Math.sqrt(tone(x / half, y / half) / Math.PI);
      if (radius < 0.5) continue;
      context.beginPath();
      context.arc(half + x, half + y, radius, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

function coverage(x, y, light, onBlack) {
  const [u, v] = [x / 0.78, (y + 0.08) / 0.78];
  const distance = u * u + v * v;
  if (distance > 1) return onBlack ? 0 : shadow(x, y);
  const normal = [u, v, Math.sqrt(1 - distance)];
  const lit = Math.max(0, normal.reduce((sum, value, axis) => sum + value * light[axis], 0));
  return onBlack ? 0.95 * lit ** 1.2 : 0.92 * (1 - lit ** 0.7);
}

const shadow = (x, y) => 0.5 * Math.exp(-4.5 * ((x - 0.12) ** 2 + 20 * (y - 0.76) ** 2));
