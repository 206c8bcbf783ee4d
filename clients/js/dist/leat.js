// leat 0.1.0: built from clients/js/src by `npm run build`. Do not edit.
// src/error.ts
var LeatError = class extends Error {
  constructor(code, message, members) {
    super(message);
    Object.assign(this, { name: "LeatError", code, status: 0, body: "", after: 0 }, members);
  }
};
var bare = (url) => url.split("?", 1)[0];
function network(url, cause, truncated2) {
  return new LeatError(truncated2 ? "truncated" : "unavailable", `${bare(url)} failed: ${cause?.cause?.message || cause?.message}`, { cause, again: true });
}
async function refusal(response) {
  const { status } = response;
  const body = await response.text().catch(() => "");
  let problem;
  let said = body.trim().split("\n", 1)[0].slice(0, 200);
  try {
    problem = JSON.parse(body);
    said = [problem.detail ?? problem.title, problem.advice].filter(Boolean).join(". ");
  } catch {
  }
  const again = /408|429|5(?!0[17])../.test(`${status}`);
  const wanted = header(response, "retry-after");
  const after = +wanted * 1e3 || Date.parse(wanted) - Date.now() || 0;
  return new LeatError(problem?.code ?? (again ? "unavailable" : "unexpected_answer"), `${bare(response.url)} answered ${status}${said && ": " + said}`, {
    status,
    body,
    problem,
    again,
    after
  });
}
var header = (response, name) => response.headers.get(name) ?? "";
var mediaType = (response) => header(response, "content-type").split(";", 1)[0].trim().toLowerCase();

// src/follow.ts
var clamp = (retry) => Math.min(Math.max(retry, 100 /* leastRetry */), 864e5 /* mostRetry */);
function wait(failures, floor, base) {
  floor = clamp(floor);
  const ceiling = clamp(Math.max(Math.min(base * 2 ** failures, 3e4 /* mostWait */), floor * 1.5));
  return floor + Math.random() * (ceiling - floor);
}
var isSafe = (method = "GET") => /^get$/i.test(method);
var resolve = (url) => new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
var headersOf = async ({ headers }) => new Headers(typeof headers === "function" ? await headers() : headers);
function follow(url, options, accept, place, form, choose) {
  const { method, body, credentials, fetch = globalThis.fetch, onOpen, onWait, onProgress } = options;
  let repeat = options.repeat ?? isSafe(method);
  let retry = 0;
  let failures = 0;
  let closed = false;
  let attempt;
  let cut;
  let heard = 0;
  let awake;
  function interrupt(why, hurry) {
    cut = new LeatError("unavailable", why, { again: true, hurry });
    attempt?.abort();
  }
  async function inTime(beats, what) {
    const limit = options.stall ?? (beats && repeat ? 45e3 /* stall */ : 0);
    heard = Date.now();
    const timer = limit > 0 ? setTimeout(() => interrupt(`nothing arrived for ${limit} ms`), clamp(limit)) : 0;
    try {
      return await what;
    } finally {
      clearTimeout(timer);
    }
  }
  async function connect() {
    attempt = new AbortController();
    const request = new Request(url, { method, body, credentials, headers: await headersOf(options), cache: "no-store", signal: attempt.signal });
    const { headers } = request;
    headers.set("accept-encoding", "identity");
    if (headers.has("accept-encoding")) headers.set("cache-control", "no-cache");
    if (!headers.has("accept")) headers.set("accept", accept);
    if (place.lastEventId) headers.set("last-event-id", String.fromCharCode(...new TextEncoder().encode(place.lastEventId)));
    if (place.etag) {
      headers.set("range", `bytes=${place.position}-`);
      headers.set("if-range", place.etag);
    }
    const response = await inTime(
      true,
      fetch(request).catch((e) => {
        throw network(url, e);
      })
    );
    const { status } = response;
    if (status === 204 || status === 416 && header(response, "content-range") === `bytes */${place.position}`) return;
    if (!response.ok) throw await inTime(true, refusal(response));
    return response;
  }
  async function* read({ body: body2 }, form2) {
    const reader = body2?.getReader();
    try {
      while (reader && !closed) {
        const next = reader.read().catch((e) => {
          throw network(url, e, true);
        });
        const { value, done } = await inTime(form2.beats, next);
        if (done) return;
        place.position += value.length;
        const out = [];
        let wrong;
        try {
          form2.feed(value, out);
        } catch (e) {
          wrong = e;
        }
        onProgress?.(place);
        if (out.length) yield out;
        if (wrong) throw wrong;
      }
    } finally {
      reader?.cancel().catch(() => {
      });
    }
  }
  async function pause(error) {
    const { again, hurry, after } = error;
    if (!again || !repeat || form?.resumable() === false || !hurry && failures >= options.maxFailures) throw error;
    const delay = hurry ? 0 : wait(failures++, Math.max(retry, after), 2 * (retry || (options.retry ?? 1e3)));
    await new Promise((resolve2) => {
      const timer = setTimeout(resolve2, delay);
      awake = () => {
        clearTimeout(timer);
        resolve2();
      };
      onWait?.(error, delay);
      if (closed) awake();
    });
    awake = void 0;
  }
  function mend({ type, persisted }) {
    const looked = type === "visibilitychange";
    if (looked ? document.hidden : persisted === false) return;
    if (awake) awake();
    else if (form?.resumable() && (!looked || form.beats && Date.now() - heard > 2e4 /* heartbeat */)) interrupt("the page was away", true);
  }
  async function* run(first) {
    if (first) repeat = false;
    const stop = new AbortController();
    if (repeat && globalThis.document) {
      for (const type of ["visibilitychange", "resume", "pageshow", "online"]) addEventListener(type, mend, { signal: stop.signal, capture: true });
    }
    try {
      while (!closed) {
        const began = Date.now();
        const before = place.position;
        let error;
        try {
          const response = first ?? await connect();
          if (!response) return;
          form ??= choose(response);
          form.begin(response);
          onOpen?.(response);
          yield* read(response, form);
          const out = [];
          const more = form.end(!repeat, out);
          if (out.length) yield out;
          if (!more || !repeat) return;
          error = new LeatError("unavailable", "the server ended the stream", { again: true });
          if (place.position > before) failures = 0;
        } catch (e) {
          error = cut ?? form?.over?.() ?? e;
        }
        attempt?.abort();
        cut = void 0;
        if (Date.now() - began > 1e4 /* stable */ || place.position > before && !form?.beats) failures = 0;
        if (!closed) await pause(error);
      }
    } finally {
      closed = true;
      attempt?.abort();
      stop.abort();
    }
  }
  return {
    run,
    close() {
      closed = true;
      attempt?.abort();
      awake?.();
    },
    setRetry(milliseconds) {
      retry = clamp(milliseconds);
    }
  };
}

// src/sse.ts
var tooLarge = (most) => new LeatError("too_large", `what comes next has more than ${most} characters: raise maxSize`);
function splitter(cr, most, line) {
  const decoder = new TextDecoder();
  let pieces = [];
  let held = 0;
  let afterCR = false;
  const rest = () => pieces.join("");
  return {
    rest,
    feed(chunk) {
      const text2 = decoder.decode(chunk, { stream: true });
      if (!text2) return;
      let from = afterCR && text2[0] === "\n" ? 1 : 0;
      afterCR = false;
      let nextLF = -2;
      let nextCR = cr ? -2 : Infinity;
      const find = (c) => (text2.indexOf(c, from) + 1 || Infinity) - 1;
      for (; ; ) {
        if (nextLF < from) nextLF = find("\n");
        if (nextCR < from) nextCR = find("\r");
        const end = Math.min(nextLF, nextCR);
        if (held + Math.min(end, text2.length) - from > most) throw tooLarge(most);
        if (end === Infinity) break;
        const whole = held ? rest() + text2.slice(from, end) : text2.slice(from, end);
        pieces = [];
        held = 0;
        from = end + 1;
        if (end === nextCR) {
          afterCR = from === text2.length;
          if (text2[from] === "\n") from++;
        }
        line(whole);
      }
      if (from < text2.length) {
        pieces.push(text2.slice(from));
        held += text2.length - from;
      }
    }
  };
}

// src/json.ts
function arrayParser(most, element) {
  const decoder = new TextDecoder();
  let pieces = [];
  let held = 0;
  let begun = false;
  let array = false;
  let whole = false;
  let depth = 0;
  let inString = false;
  let escaped = false;
  let count = 0;
  const wrong = (what) => new LeatError("invalid_body", `element ${count + 1} is not JSON: ${what}`, { line: count + 1 });
  function take(rest, mayBeNone = false) {
    const text2 = pieces.join("") + rest;
    pieces = [];
    held = 0;
    if (mayBeNone && !text2.trim()) return;
    let value;
    try {
      value = JSON.parse(text2);
    } catch (e) {
      throw wrong(e.message);
    }
    count++;
    element(value);
  }
  return {
    feed(chunk) {
      const text2 = decoder.decode(chunk, { stream: true });
      let from = 0;
      for (let i = 0; i < text2.length; i++) {
        const c = text2[i];
        if (inString) {
          if (escaped) escaped = false;
          else if (c === "\\") escaped = true;
          else inString = c !== '"';
        } else if (c > " ") {
          if (whole) throw wrong("unexpected " + c);
          if (!begun) {
            begun = true;
            array = c === "[";
            if (array) {
              from = i + 1;
              continue;
            }
          }
          if (c === '"') inString = true;
          else if (c === "[" || c === "{") depth++;
          else if (c === "]" || c === "}") {
            if (array && !depth && c === "]") {
              whole = true;
              take(text2.slice(from, i), !count);
            } else if (!depth--) throw wrong("unexpected " + c);
          } else if (c === "," && array && !depth) {
            take(text2.slice(from, i));
            from = i + 1;
          }
        }
      }
      if (whole) return;
      pieces.push(text2.slice(from));
      held += text2.length - from;
      if (held > most) throw tooLarge(most);
    },
    end() {
      if (!begun || array) return whole;
      try {
        take("");
        return true;
      } catch {
        return false;
      }
    }
  };
}

// src/forms.ts
var truncated = (inside, again = false, hurry = false) => new LeatError("truncated", "the body ends inside " + inside, { again, hurry });
var eventStream = "text/event-stream";
function events({ place, maxSize, setRetry, onComment }) {
  let out;
  let split;
  let type;
  let data;
  let size;
  let id;
  let ended;
  function dispatch() {
    place.lastEventId = id;
    if (data.length) {
      const e = { type: type || "message", data: data.join("\n"), id };
      const word = /^leat\.(gap|end)$/.exec(type);
      if (word) {
        try {
          e[word[1]] = JSON.parse(e.data);
        } catch {
        }
      }
      ended = !!e.end;
      out.push(e);
    }
    clear();
  }
  function clear() {
    type = "";
    data = [];
    size = 0;
  }
  function take(line) {
    if (!line) return dispatch();
    const colon = line.indexOf(":");
    if (!colon) return onComment?.(line.slice(1));
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (name === "data") {
      size += value.length + 1;
      if (size > maxSize + 1) throw tooLarge(maxSize);
      data.push(value);
    } else if (name === "event") type = value;
    else if (name === "id" && !value.includes("\0")) id = value;
    else if (name === "retry" && /^\d+$/.test(value)) {
      setRetry(+value);
      ended = false;
    }
  }
  return {
    beats: true,
    resumable: () => true,
    begin(response) {
      const { status } = response;
      const is = mediaType(response);
      if (status !== 200 || is !== eventStream)
        throw new LeatError("unexpected_answer", `this is no event stream: ${status} ${is}`, { status });
      id = place.lastEventId;
      ended = false;
      clear();
      split = splitter(true, maxSize, take);
    },
    feed(chunk, to) {
      out = to;
      split.feed(chunk);
    },
    end(last) {
      if (last && (data.length || split.rest())) throw truncated("an event");
      return !ended;
    }
  };
}
function lines({ place, maxSize, setRetry, onInvalid }) {
  let out;
  let split;
  let count = 0;
  let leat = false;
  let ended = false;
  function take(text2) {
    if (!text2.trim()) return;
    count++;
    let value;
    try {
      value = JSON.parse(text2);
    } catch (e) {
      const error = new LeatError("invalid_line", `line ${count} is not JSON: ${e.message}`, { line: count, body: text2.slice(0, 200) });
      if (!onInvalid) throw error;
      return onInvalid(error);
    }
    if (count === 1) leat = /^\{"id":"\d{16}_\d{16}"\}\s*$/.test(text2);
    if (leat) {
      const { id, topic, gap, end, retry } = value;
      place.lastEventId = id;
      ended = !!end;
      if (retry) setRetry(retry);
      if (!topic && !gap && !end) return;
    }
    out.push(value);
  }
  return {
    // Others may be silent as long as they like.
    get beats() {
      return leat;
    },
    resumable: () => leat || !count,
    begin() {
      split = splitter(false, maxSize, take);
    },
    feed(chunk, to) {
      out = to;
      split.feed(chunk);
    },
    end(_, to) {
      const rest = split.rest();
      if (rest.trim()) {
        let value;
        try {
          value = JSON.parse(rest);
        } catch {
        }
        if (leat || value === void 0 || typeof value === "number") throw truncated(`line ${count + 1}`, leat);
        out = to;
        take(rest);
      }
      return leat && !ended;
    }
  };
}
function elements({ maxSize }) {
  let out;
  let parser;
  let count = 0;
  let empty;
  return {
    beats: false,
    resumable: () => !count,
    begin(response) {
      empty = header(response, "content-length") === "0";
      parser = arrayParser(maxSize, (value) => {
        count++;
        out.push(value);
      });
    },
    feed(chunk, to) {
      out = to;
      parser.feed(chunk);
    },
    end(_, to) {
      out = to;
      if (!empty && !parser.end()) throw truncated(`element ${count + 1}`, true);
      return false;
    }
  };
}
function bytes({ place }, map = (chunk) => chunk) {
  let length;
  let broken;
  let from;
  let closed;
  const over = () => broken && place.position === from ? truncated(`a stream that ended: ${broken}`) : void 0;
  return {
    over,
    beats: false,
    resumable: () => !place.position || !!place.etag,
    begin(response) {
      from = place.position;
      const range = /^bytes (\d+)-\d+\/(\d*)/.exec(header(response, "content-range"));
      const start = range ? +range[1] : 0;
      if (from && start !== from) throw new LeatError("changed", `what was read up to byte ${from} is not there any more. Begin again.`, { status: response.status });
      const plain2 = !header(response, "content-encoding");
      const size = header(response, "content-length");
      length = plain2 && size ? from + +size : 0;
      place.total = (range ? +range[2] : length) || void 0;
      const etag = header(response, "etag");
      place.etag = plain2 && start === from && etag[0] === '"' ? etag : void 0;
      broken = header(response, "leat-end");
      closed = !size && header(response, "connection") === "close" && header(response, "accept-ranges") === "bytes";
    },
    feed(chunk, out) {
      out.push(map(chunk));
    },
    end(last) {
      const came = place.position > from;
      if (place.position < length) throw truncated(`its ${length} bytes`, true);
      if (broken) throw over() ?? truncated(broken, true);
      if (!last && closed && place.etag) throw truncated("a connection that was closed", true, came);
      if (map()) throw truncated("a character");
      return false;
    }
  };
}
function text(r) {
  const decoder = new TextDecoder();
  return bytes(r, (chunk) => decoder.decode(chunk, { stream: !!chunk }));
}

// src/shared.ts
var canShare = ({ method }) => isSafe(method) && !!globalThis.document && !!navigator.locks;
var isOffset = (id) => /^\d{16}_\d{16}$/.test(id);
var startsNow = (url) => /\/events\?/.test(url) && !/[?&](from=(?!now)|last_?event_?id=)/i.test(url);
var plain = (error) => ({ ...error, message: error.message, cause: void 0 });
function share(url, options, sink) {
  const { place } = sink;
  const { withCredentials, headers } = options;
  const name = `leat ${!!withCredentials} ${url} ${typeof headers === "function" ? headers : JSON.stringify([...new Headers(headers)])}`;
  const channel = new BroadcastChannel(name);
  const stop = new AbortController();
  const { signal } = stop;
  let turn;
  let leading;
  let catching;
  let queue = [];
  let origin = "";
  let doubt;
  const say = (message) => channel.postMessage({ ...message, id: place.lastEventId });
  const wish = (steal) => {
    turn?.abort();
    const { signal: signal2 } = turn = new AbortController();
    navigator.locks.request(
      name,
      steal ? { steal } : { signal: signal2 },
      () => new Promise((resolve2) => {
        if (signal2.aborted) return resolve2();
        signal2.addEventListener("abort", () => resolve2());
        lead();
      })
    ).catch(() => {
      if (signal2.aborted) return;
      rest();
      wish();
    });
  };
  const rest = () => {
    turn.abort();
    leading?.close();
    leading = void 0;
  };
  const lead = () => {
    clearTimeout(doubt);
    catching?.close();
    catching = void 0;
    queue = [];
    let before = place.lastEventId;
    leading = pump(url, options, {
      place,
      opened(from) {
        origin = from;
        say({ origin });
        sink.opened(origin);
      },
      events(batch) {
        say({ before, batch });
        before = place.lastEventId;
        sink.events(batch);
      },
      waiting(error, delay) {
        origin = "";
        say({ error: plain(error), delay });
        sink.waiting(error, delay);
      },
      ended(error) {
        say({ error: plain(error) });
        end(error);
      }
    });
  };
  const ask = () => {
    if (leading || document.hidden) return;
    say({ ask: true });
    doubt ??= setTimeout(() => {
      doubt = void 0;
      wish(true);
    }, 5e3 /* answer */);
  };
  const hear = (m) => {
    if (m.ask) return leading && say({ origin });
    if (leading) return;
    clearTimeout(doubt);
    doubt = void 0;
    if (catching) return queue.push(m);
    if (m.error) {
      const error = new LeatError(m.error.code, m.error.message, m.error);
      return m.delay === void 0 ? end(error) : sink.waiting(error, m.delay);
    }
    const { id, batch, before = id } = m;
    if (!place.lastEventId && startsNow(url)) place.lastEventId = before;
    const own = place.lastEventId;
    if (isOffset(before) && before > own) {
      queue.push(m);
      return catchUp(before);
    }
    if (m.origin) sink.opened(m.origin);
    if (!batch) return;
    const ahead = isOffset(own) && isOffset(before) && own > before;
    if (!ahead || id > own) place.lastEventId = id;
    sink.events(ahead ? batch.filter((e) => e.id > own || e.gap && e.id === own) : batch);
  };
  const catchUp = (until) => {
    const target = new URL(url);
    target.searchParams.set("heartbeat", "1s");
    const source = catching = pump(target.href, options, {
      ...sink,
      events(batch) {
        sink.events(batch);
        if (place.lastEventId < until) return;
        source.close();
        catching = void 0;
        queue.splice(0).forEach(hear);
      },
      ended: end
    });
  };
  const close = () => {
    stop.abort();
    rest();
    catching?.close();
    channel.close();
    clearInterval(beat);
    clearTimeout(doubt);
  };
  const end = (error) => {
    close();
    sink.ended(error);
  };
  channel.onmessage = ({ data }) => hear(data);
  const early = { signal, capture: true };
  addEventListener("visibilitychange", ask, early);
  addEventListener("pageshow", ask, early);
  addEventListener("freeze", rest, early);
  addEventListener("resume", () => wish(), early);
  const beat = setInterval(ask, 2e4 /* ask */);
  wish();
  say({ ask: true });
  return { close };
}

// src/eventsource.ts
var errorEvent = (error, delay) => Object.assign(new Event("error"), { error, delay, status: error.status, body: error.body });
function pump(url, options, sink) {
  const { withCredentials, maxSize = 16 << 20, onComment } = options;
  const follower = follow(
    url,
    {
      ...options,
      credentials: withCredentials ? "include" : void 0,
      onOpen: (response) => sink.opened(new URL(response.url || url).origin),
      onWait: sink.waiting
    },
    eventStream,
    sink.place,
    events({ place: sink.place, maxSize, onComment, setRetry: (ms) => follower.setRetry(ms) })
  );
  let closed = false;
  queueMicrotask(async () => {
    let error = new LeatError("ended", "the stream has ended", { status: 204 });
    try {
      for await (const batch of follower.run()) sink.events(batch);
    } catch (e) {
      error = e;
    }
    if (!closed) sink.ended(error);
  });
  return {
    close() {
      closed = true;
      follower.close();
    }
  };
}
var LeatEventSource = class extends EventTarget {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSED = 2;
  CONNECTING = 0;
  OPEN = 1;
  CLOSED = 2;
  url;
  withCredentials;
  #state = 0;
  #place;
  #at;
  // the id of the event that is dispatched
  #source;
  onopen = null;
  onmessage = null;
  onerror = null;
  /** Records are gone that were due: the event `leat.gap`. */
  ongap = null;
  /** A topic has ended: the event `leat.end`. */
  onend = null;
  constructor(url, options = {}) {
    super();
    try {
      this.url = resolve(url).href;
    } catch {
      throw new DOMException(`"${url}" is no URL`, "SyntaxError");
    }
    this.withCredentials = !!options.withCredentials;
    for (const type of ["open", "message", "error", "leat.gap", "leat.end"])
      this.addEventListener(type, (e) => this["on" + type.replace("leat.", "")]?.(e));
    let origin;
    this.#place = { lastEventId: options.lastEventId ?? "", position: 0 };
    const sink = {
      place: this.#place,
      opened: (from) => {
        origin = from;
        if (!this.#state) this.#turn(1, new Event("open"));
      },
      events: (batch) => {
        for (const e of batch) {
          if (this.#state === 2) return;
          this.#at = e.id;
          const event = new MessageEvent(e.type, { data: e.data, lastEventId: e.id, origin });
          this.dispatchEvent(Object.assign(event, { gap: e.gap, end: e.end }));
        }
        this.#at = void 0;
      },
      waiting: (error, delay) => this.#turn(0, errorEvent(error, delay)),
      ended: (error) => this.#turn(2, errorEvent(error))
    };
    this.#source = options.shared && canShare(options) ? share(this.url, options, sink) : pump(this.url, options, sink);
  }
  get readyState() {
    return this.#state;
  }
  /** The last event ID: where another reader can go on. */
  get lastEventId() {
    return this.#at ?? this.#place.lastEventId;
  }
  /** close ends the connection for good. */
  close() {
    this.#state = 2;
    this.#source.close();
  }
  #turn(state, event) {
    if (this.#state === 2) return;
    this.#state = state;
    this.dispatchEvent(event);
  }
};

// src/stream.ts
var accepts = { sse: eventStream, ndjson: "application/x-ndjson", json: "application/json" };
var forms = { sse: events, ndjson: lines, json: elements, bytes, text };
function formOf(response) {
  const type = mediaType(response);
  if (type === eventStream) return "sse";
  if (/ndjson$|jsonl$|stream\+json$/.test(type)) return "ndjson";
  if (/[/+]json$/.test(type)) return "json";
  return type.startsWith("text/") ? "text" : "bytes";
}
function stream(source, options = {}) {
  const { as, signal, maxSize = 16 << 20, onComment, onInvalid } = options;
  const place = { lastEventId: "", position: 0, ...options.resume };
  const response = source instanceof Response ? source : void 0;
  const follower = follow(
    response?.url ?? String(source),
    options,
    accepts[as] ?? "*/*",
    place,
    void 0,
    (response2) => forms[as ?? formOf(response2)]({ place, maxSize, onComment, onInvalid, setRetry: follower.setRetry })
  );
  let cancelled = false;
  const cancel = () => {
    cancelled = true;
    follower.close();
  };
  let at;
  async function* each() {
    if (signal?.aborted) cancel();
    signal?.addEventListener("abort", cancel);
    try {
      for await (const batch of follower.run(response)) {
        for (let i = 0; i < batch.length && !cancelled; ) {
          const item = batch[i++];
          if (item?.type === "leat.cursor" && !item.data) continue;
          at = i < batch.length ? item?.id : void 0;
          yield item;
        }
      }
      signal?.throwIfAborted();
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }
  return Object.defineProperties(each(), {
    place: { get: () => ({ ...place, lastEventId: place.lastEventId && at || place.lastEventId }) },
    cancel: { value: cancel }
  });
}

// src/publish.ts
async function publish(url, data, options = {}) {
  const { type, producer, key = producer ? "" : `${Math.random()}-${Math.random()}`, contentType } = options;
  const target = resolve(url);
  if (type) target.searchParams.set("type", type);
  if (key) target.searchParams.set("key", key);
  const raw = typeof data === "string" || data instanceof Blob || data instanceof ArrayBuffer || ArrayBuffer.isView(data);
  const headers = async () => {
    const headers2 = await headersOf(options);
    if (contentType || !raw) headers2.set("content-type", contentType ?? "application/json");
    for (const name in producer) headers2.set("producer-" + name, `${producer[name]}`);
    return headers2;
  };
  const body = raw ? data : JSON.stringify(data);
  for await (const receipt of stream(target, { ...options, as: "json", method: "POST", repeat: true, headers, body })) return receipt;
  return {};
}
export {
  LeatError,
  LeatEventSource,
  publish,
  stream
};
