// Numbers as people read them.

/** 0.98713 → "98.71 %". Softmax is never certain, even where float32 rounds it to 0 or 1. */
export function percent(probability) {
  if (probability > 0.99995) return "> 99.99 %";
  if (probability < 0.00005) return "< 0.01 %";
  return share(probability);
}

export const share = (ratio) => `${(ratio * 100).toFixed(2)} %`;

export function milliseconds(ms) {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms >= 100) return `${ms.toFixed(0)} ms`;
  return ms < 0.05 ? "< 0.1 ms" : `${ms.toFixed(1)} ms`;
}

export const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
