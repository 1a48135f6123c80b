/** Between two looks: short at first, for what is about to come true. */
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 50;

/** Polls until the condition holds; fails after the time. */
export async function until(condition: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<void> {
  await eventually('the condition', condition, withinMs);
}

/** The same, with what the failure says was awaited; what the condition throws is thrown on. */
export async function eventually(
  what: string | (() => string),
  condition: () => boolean | Promise<boolean>,
  withinMs = 20_000,
): Promise<void> {
  const deadlineMs = performance.now() + withinMs;
  for (
    let pauseMs = FIRST_PAUSE_MS;
    !(await condition());
    pauseMs = Math.min(1.2 * pauseMs, LONGEST_PAUSE_MS)
  ) {
    if (performance.now() > deadlineMs) {
      const awaited = typeof what === 'string' ? what : what();
      throw new Error(`did not come true in ${withinMs} ms: ${awaited}`);
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
