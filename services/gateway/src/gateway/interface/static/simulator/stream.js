// Server-sent events over fetch, because EventSource cannot send a key. Reconnects by itself.

export function listen(path, headers, onEvent) {
  const stop = new AbortController();
  run(path, headers, onEvent, stop.signal);
  return () => stop.abort();
}

async function run(path, headers, onEvent, signal) {
  let pause = 500;
  while (!signal.aborted) {
    try {
      const answer = await fetch(path, { headers: headers(), signal });
      if (answer.ok) {
        pause = 500;
        await read(answer.body.getReader(), onEvent);
      }
    } catch {
      if (signal.aborted) return;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, 10000);
  }
}

async function read(reader, onEvent) {
  const decoder = new TextDecoder();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    waiting += decoder.decode(value, { stream: true });
    const blocks = waiting.split("\n\n");
    waiting = blocks.pop();
    for (const block of blocks) dispatch(block, onEvent);
  }
}

function dispatch(block, onEvent) {
  let name = "message";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data += line.slice(5).trim();
  }
  if (data) onEvent(name, JSON.parse(data));
}
