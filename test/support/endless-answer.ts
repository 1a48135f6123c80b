/** Keeps a rank busy with an answer that does not end before the signal; settles when it has. */
export async function endlessAnswer(
  url: string,
  workerId: string,
  dpRank: number,
  signal: AbortSignal,
): Promise<void> {
  const request = {
    model: 'kvasir-sim',
    prompt: `An endless answer of ${workerId}/${dpRank}. `.repeat(10),
    max_tokens: 100_000,
    stream: true,
    ignore_eos: true,
  };
  try {
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      signal,
      headers: {
        'content-type': 'application/json',
        'x-worker-instance-id': workerId,
        'x-dp-rank': String(dpRank),
      },
      body: JSON.stringify(request),
    });
    await response.text();
  } catch (thrown) {
    if (!signal.aborted) throw thrown;
  }
}
