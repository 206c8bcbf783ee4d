// leat 0.1.0: built from clients/js/src by `npm run build`. Do not edit.
// src/error.ts
var LeatError = class extends Error {
  /**
   * What kind of failure it is. That of the server's problem document, or one of
   * `unavailable` (no connection, or it broke, or fell silent), `unexpected_answer`
   * (a status or a content type that was not asked for), `truncated` (what came is
   * not whole), `changed` (there is something else now where this was read from),
   * `invalid_line`, `invalid_body`, `too_large`.
   */
  code;
  /** The status of the answer, 0 if there was none. */
  status = 0;
  /** The body of an answer that was refused, its first 64 KiB at most. */
  body = "";
  /** The members of the problem document, if the body is one. */
  problem;
  /** The line of NDJSON, or the element of an array, that is wrong, counted from 1. */
  line;
  /** How long the server wants to be left alone, in milliseconds. */
  retryAfter = 0;
  /** @internal Another attempt may succeed. */
  again = false;
  /** @internal And does not have to wait. */
  hurry = false;
  constructor(code, message, members) {
    super(message);
    this.name = "LeatError";
    this.code = code;
    Object.assign(this, members);
  }
};
function network(url, e, code) {
  const why = e?.cause?.message || e?.message || e;
  return new LeatError(code, code === "truncated" ? `the answer of ${url} broke off: ${why}` : `${url} could not be reached: ${why}`, { cause: e, again: true });
}
var mostBody = 64 << 10;
async function refusal(response, advice = "") {
  const { status, headers } = response;
  let body = "";
  let problem;
  let said = "";
  if (response.status !== 200) {
    body = await beginning(response).catch(() => "");
    said = body.trim().split("\n", 1)[0].slice(0, 200);
    if (mediaType(response).endsWith("json")) {
      try {
        problem = JSON.parse(body);
        said = [problem.detail ?? problem.title, problem.advice].filter(Boolean).join(". ");
      } catch {
      }
    }
  }
  const again = status === 429 || status >= 500;
  return new LeatError(
    problem?.code ?? (again ? "unavailable" : "unexpected_answer"),
    `${response.url} answered ${status}${said && ": " + said}${advice && ". " + advice}`,
    { status, body, problem, again, retryAfter: retryAfter(headers.get("retry-after")) }
  );
}
async function beginning(response) {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let text2 = "";
  for (let chunk; reader && text2.length < mostBody && !(chunk = await reader.read()).done; ) text2 += decoder.decode(chunk.value, { stream: true });
  reader?.cancel().catch(() => {
  });
  return text2.slice(0, mostBody);
}
function retryAfter(value) {
  if (!value) return 0;
  const delay = /^\d+$/.test(value) ? +value * 1e3 : Date.parse(value) - Date.now();
  return delay > 0 ? delay : 0;
}
var mediaType = (response) => (response.headers.get("content-type") ?? "").split(";", 1)[0].trim().toLowerCase();

// src/follow.ts
var leastRetry = 100;
var mostRetry = 24 * 36e5;
var mostWait = 3e4;
var stable = 1e4;
var clamp = (retry) => Math.min(Math.max(retry, leastRetry), mostRetry);
function wait(failures, floor, base) {
  floor = clamp(floor);
  const ceiling = clamp(Math.max(Math.min(base * 2 ** failures, mostWait), floor * 1.5));
  return floor + Math.random() * (ceiling - floor);
}
var isSafe = (method = "GET") => /^(get|head)$/i.test(method);
async function headersOf({ headers }) {
  return new Headers(typeof headers === "function" ? await headers() : headers);
}
var Follower = class {
  constructor(url, options, accept, place, form, choose) {
    this.url = url;
    this.options = options;
    this.accept = accept;
    this.place = place;
    this.form = form;
    this.choose = choose;
    this.repeat = options.repeat ?? isSafe(options.method);
  }
  url;
  options;
  accept;
  place;
  form;
  choose;
  /** What the server asked for, in milliseconds; 0 if nothing. */
  retry = 0;
  closed = false;
  /** Why it was closed. */
  reason;
  failures = 0;
  attempt = new AbortController();
  cut;
  // why we ended the attempt
  heard = 0;
  // when the last byte came
  awake;
  // ends a wait
  repeat;
  onopen;
  /** The connection ended, and there will be another attempt after delay. */
  onwait;
  onprogress;
  /** close ends it. Who waits for more gets reason as an error, if there is one. */
  close(reason) {
    this.reason ??= reason;
    this.closed = true;
    this.attempt.abort();
    this.awake?.();
  }
  /** setRetry takes over a delay that the server named. */
  setRetry = (retry) => {
    this.retry = clamp(retry);
  };
  /** run yields what arrives, as it arrives. An answer that is there already is not asked for again. */
  async *run(first) {
    if (first) this.repeat = false;
    const stop = this.repeat ? this.watchPage() : void 0;
    try {
      while (!this.closed) {
        const began = Date.now();
        let error;
        try {
          const response = first ?? await this.connect();
          if (!response) return;
          this.form ??= this.choose(response);
          this.form.begin(response);
          this.onopen?.(response);
          const before = this.place.position;
          yield* this.read(response);
          if (this.closed) break;
          const out = [];
          const more = this.form.end(!this.repeat, out);
          if (out.length) yield out;
          if (!more || !this.repeat) return;
          error = new LeatError("unavailable", "the server ended the stream", { again: true });
          if (this.place.position > before) this.failures = 0;
        } catch (e) {
          if (this.closed) break;
          error = this.cut ?? this.form?.over?.() ?? e;
          if (Date.now() - began >= stable) this.failures = 0;
        } finally {
          this.attempt.abort();
        }
        await this.pause(error);
      }
    } finally {
      this.closed = true;
      stop?.();
    }
  }
  /** connect makes one attempt. It returns nothing if there is no more to come. */
  async connect() {
    const { method, body, credentials, fetch = globalThis.fetch } = this.options;
    const { place } = this;
    this.attempt = new AbortController();
    this.cut = void 0;
    const headers = await headersOf(this.options);
    headers.set("accept-encoding", "identity");
    if (!headers.has("accept")) headers.set("accept", this.accept);
    if (place.lastEventId) headers.set("last-event-id", encodeId(place.lastEventId));
    if (place.position && place.etag) {
      headers.set("range", `bytes=${place.position}-`);
      headers.set("if-range", place.etag);
    }
    const request = new Request(this.url, { method, body, credentials, headers, cache: "no-store", signal: this.attempt.signal });
    const response = await this.inTime(true, () => fetch(request)).catch((e) => {
      throw network(this.url, e, "unavailable");
    });
    if (response.status === 204) return;
    if (response.status === 416 && response.headers.get("content-range") === `bytes */${place.position}`) return;
    if (!response.ok) throw await this.inTime(true, () => refusal(response));
    return response;
  }
  async *read(response) {
    const form = this.form;
    const reader = response.body?.getReader();
    try {
      while (reader && !this.closed) {
        const { value, done } = await this.inTime(form.beats, () => reader.read()).catch((e) => {
          throw network(this.url, e, "truncated");
        });
        if (done) return;
        this.place.position += value.length;
        const out = [];
        let wrong;
        try {
          form.feed(value, out);
        } catch (e) {
          wrong = e;
        }
        this.onprogress?.(this.place);
        if (out.length) yield out;
        if (wrong) throw wrong;
      }
    } finally {
      reader?.cancel().catch(() => {
      });
    }
  }
  /** inTime ends the attempt if what is done takes longer than the other side may be silent. */
  async inTime(expected, what) {
    const limit = this.options.stall ?? (expected && this.repeat ? 45e3 : 0);
    this.heard = Date.now();
    const timer = limit > 0 && setTimeout(() => this.interrupt(`nothing arrived for ${limit} ms`), clamp(limit));
    try {
      return await what();
    } finally {
      if (timer) clearTimeout(timer);
    }
  }
  /** interrupt ends the attempt. */
  interrupt(why, hurry = false) {
    this.cut = new LeatError("unavailable", why, { again: true, hurry });
    this.attempt.abort();
  }
  /** pause waits for the next attempt, and throws if there will be none. */
  async pause(error) {
    if (!error.again || !this.repeat || this.form?.resumable() === false) throw error;
    const delay = error.hurry ? 0 : wait(this.failures, Math.max(this.retry, error.retryAfter), 2 * (this.retry || (this.options.retry ?? 1e3)));
    if (!error.hurry && ++this.failures > (this.options.maxFailures ?? Infinity)) throw error;
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.awake = () => {
        clearTimeout(timer);
        resolve();
      };
      this.onwait?.(error, delay);
      if (this.closed) this.awake();
    });
    this.awake = void 0;
  }
  /**
   * watchPage mends the connection when a page is looked at again, comes back from the
   * back/forward cache, or has a network again: it may have been cut without a word
   * meanwhile. What it returns ends that.
   */
  watchPage() {
    if (typeof document === "undefined") return;
    const mend = (e) => {
      if (e.type === "visibilitychange" && document.visibilityState !== "visible") return;
      if (e.type === "pageshow" && !e.persisted) return;
      if (this.awake) return this.awake();
      if (e.type === "visibilitychange" && (!this.form?.beats || Date.now() - this.heard < 2e4)) return;
      if (this.form?.resumable() === false) return;
      this.interrupt("the page was away", true);
    };
    const where = [
      [document, "visibilitychange"],
      [window, "pageshow"],
      [window, "online"]
    ];
    for (const [target, type] of where) target.addEventListener(type, mend);
    return () => {
      for (const [target, type] of where) target.removeEventListener(type, mend);
    };
  }
};
function encodeId(id) {
  return /^[\0-\x7f]*$/.test(id) ? id : String.fromCharCode(...new TextEncoder().encode(id));
}

// src/sse.ts
var Lines = class {
  // drops one byte order mark, keeps cut characters
  constructor(cr, most, line) {
    this.cr = cr;
    this.most = most;
    this.line = line;
  }
  cr;
  most;
  line;
  pieces = [];
  held = 0;
  afterCR = false;
  decoder = new TextDecoder();
  /** feed takes bytes, and calls line for each line that ends with them. */
  feed(chunk) {
    const text2 = this.decoder.decode(chunk, { stream: true });
    let from = 0;
    if (this.afterCR && text2) {
      if (text2[0] === "\n") from = 1;
      this.afterCR = false;
    }
    let lf = -2;
    let cr = this.cr ? -2 : -1;
    for (; ; ) {
      if (lf !== -1 && lf < from) lf = text2.indexOf("\n", from);
      if (cr !== -1 && cr < from) cr = text2.indexOf("\r", from);
      const end = cr === -1 || lf !== -1 && lf < cr ? lf : cr;
      if (end === -1) break;
      const next = end + 1;
      if (end === cr) {
        if (next === text2.length) this.afterCR = true;
        else if (text2[next] === "\n") {
          this.take(text2, from, end);
          from = next + 1;
          continue;
        }
      }
      this.take(text2, from, end);
      from = next;
    }
    if (from < text2.length) {
      this.pieces.push(text2.slice(from));
      this.held += text2.length - from;
      this.check(this.held);
    }
  }
  take(text2, from, end) {
    let line = text2.slice(from, end);
    if (this.held) {
      this.check(this.held + line.length);
      line = this.rest + line;
      this.pieces = [];
      this.held = 0;
    }
    this.line(line);
  }
  /** rest is what has come of a line that has not ended. */
  get rest() {
    return this.pieces.join("");
  }
  check(size) {
    if (size > this.most) throw tooLarge(this.most);
  }
};
var tooLarge = (most) => new LeatError("too_large", `what comes next is larger than the limit of ${most} characters. Raise the option maxSize.`);
var EventParser = class {
  constructor(lastEventId, most, event, retry, comment) {
    this.lastEventId = lastEventId;
    this.most = most;
    this.event = event;
    this.retry = retry;
    this.comment = comment;
    this.id = lastEventId;
    this.lines = new Lines(true, most, (line) => this.line(line));
  }
  lastEventId;
  most;
  event;
  retry;
  comment;
  lines;
  type = "";
  data = [];
  size = 0;
  id;
  /** Something has come of an event that has not ended. */
  begun = false;
  feed(chunk) {
    this.lines.feed(chunk);
  }
  /** partial reports whether the bytes so far break off inside an event. */
  get partial() {
    return this.begun || this.lines.rest !== "";
  }
  line(line) {
    if (!line) return this.dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return this.comment?.(line.slice(1));
    this.begun = true;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    switch (name) {
      case "data":
        this.size += value.length + 1;
        if (this.size > this.most) throw tooLarge(this.most);
        this.data.push(value);
        break;
      case "event":
        this.type = value;
        break;
      case "id":
        if (!value.includes("\0")) this.id = value;
        break;
      case "retry":
        if (/^\d+$/.test(value)) this.retry(+value);
    }
  }
  dispatch() {
    this.lastEventId = this.id;
    if (this.data.length) {
      const e = { type: this.type || "message", data: this.data.join("\n"), id: this.id };
      this.data = [];
      this.size = 0;
      if (e.type === "leat.gap" || e.type === "leat.end") {
        try {
          e[e.type === "leat.gap" ? "gap" : "end"] = JSON.parse(e.data);
        } catch {
        }
      }
      this.event(e);
    }
    this.type = "";
    this.begun = false;
  }
};

// src/json.ts
var quote = 34;
var comma = 44;
var backslash = 92;
var ArrayParser = class {
  // something of the value at the top has come
  constructor(most, element) {
    this.most = most;
    this.element = element;
  }
  most;
  element;
  /** The value at the top has ended. */
  whole = false;
  decoder = new TextDecoder();
  pieces = [];
  held = 0;
  array = false;
  depth = 0;
  inString = false;
  escaped = false;
  count = 0;
  begun = false;
  feed(chunk) {
    const text2 = this.decoder.decode(chunk, { stream: true });
    let from = 0;
    for (let i = 0; i < text2.length; i++) {
      const c = text2.charCodeAt(i);
      if (this.inString) {
        if (this.escaped) this.escaped = false;
        else if (c === backslash) this.escaped = true;
        else if (c === quote) this.inString = false;
        continue;
      }
      if (c === 32 || c >= 9 && c <= 13) continue;
      if (this.whole) throw this.wrong("something follows the end of the array");
      if (!this.begun) {
        this.begun = true;
        if (c === 91) {
          this.array = true;
          from = i + 1;
          continue;
        }
      }
      if (c === quote) this.inString = true;
      else if (c === 91 || c === 123) this.depth++;
      else if (c === 93 || c === 125) {
        if (this.depth) this.depth--;
        else if (this.array && c === 125) throw this.wrong("} without {");
        else {
          this.whole = true;
          this.take(text2, from, i, c === 93 && !this.count);
        }
      } else if (c === comma && this.array && !this.depth) {
        this.take(text2, from, i);
        from = i + 1;
      }
    }
    if (from < text2.length && !this.whole) {
      this.pieces.push(text2.slice(from));
      this.held += text2.length - from;
      if (this.held > this.most) throw tooLarge(this.most);
    }
  }
  /** end takes the end of the body, and reports whether all has come that was to come. */
  end() {
    if (!this.begun || this.array) return this.whole;
    try {
      this.take("", 0, 0);
      return true;
    } catch {
      return false;
    }
  }
  take(text2, from, to, mayBeNone = false) {
    const element = this.pieces.join("") + text2.slice(from, to);
    this.pieces = [];
    this.held = 0;
    if (mayBeNone && !element.trim()) return;
    let value;
    try {
      value = JSON.parse(element);
    } catch (e) {
      throw this.wrong(e.message);
    }
    this.count++;
    this.element(value);
  }
  wrong(what) {
    return new LeatError("invalid_body", `element ${this.count + 1} is not JSON: ${what}`, { line: this.count + 1 });
  }
};

// src/forms.ts
var truncated = (what, again = false) => new LeatError("truncated", what, { again });
var eventStream = "text/event-stream";
function events(r) {
  let parser;
  let out;
  let ended = false;
  return {
    beats: true,
    resumable: () => true,
    begin(response) {
      const type = mediaType(response);
      if (response.status !== 200 || type !== eventStream)
        throw new LeatError("unexpected_answer", `${response.url} is no event stream: status ${response.status}, content type "${type}". Check the address.`, { status: response.status });
      parser = new EventParser(
        r.place.lastEventId,
        r.maxSize,
        (e) => {
          ended = !!e.end;
          out.push(e);
        },
        (retry) => {
          ended = false;
          r.setRetry(retry);
        },
        r.onComment
      );
    },
    feed(chunk, to) {
      out = to;
      try {
        parser.feed(chunk);
      } finally {
        r.place.lastEventId = parser.lastEventId;
      }
    },
    end(last) {
      if (last && parser.partial) throw truncated("the stream ends inside an event");
      return !ended;
    }
  };
}
function lines(r) {
  let out;
  let splitter;
  let count = 0;
  let leat = false;
  let ended = false;
  const take = (text2) => {
    if (!text2.trim()) return;
    count++;
    let value;
    try {
      value = JSON.parse(text2);
    } catch (e) {
      const error = new LeatError("invalid_line", `line ${count} is not JSON: ${e.message}`, { line: count, body: text2.slice(0, 200) });
      if (!r.onInvalid) throw error;
      return r.onInvalid(error);
    }
    if (count === 1) leat = /^\{"id":"\d{16}_\d{16}"\}\s*$/.test(text2);
    if (leat) {
      const { id, topic, gap, end, retry } = value;
      if (id) r.place.lastEventId = id;
      ended = !!end;
      if (retry) r.setRetry(retry);
      if (topic === void 0 && !gap && !end) return;
    }
    out.push(value);
  };
  return {
    // A server that sends no positions may be silent as long as it likes.
    get beats() {
      return leat;
    },
    resumable: () => leat || !count,
    begin() {
      splitter = new Lines(false, r.maxSize, take);
    },
    feed(chunk, to) {
      out = to;
      splitter.feed(chunk);
    },
    end(_, to) {
      const { rest } = splitter;
      if (rest.trim()) {
        out = to;
        try {
          if (leat || isFinite(JSON.parse(rest))) throw 0;
        } catch {
          throw truncated(`the body ends inside line ${count + 1}`, leat);
        }
        take(rest);
      }
      return leat && !ended;
    }
  };
}
function elements(r) {
  let out;
  let begun = false;
  const parser = new ArrayParser(r.maxSize, (value) => out.push(value));
  return {
    beats: false,
    resumable: () => !begun,
    begin() {
    },
    feed(chunk, to) {
      begun = true;
      out = to;
      parser.feed(chunk);
    },
    end() {
      if (!parser.end()) throw truncated("the body ends before its JSON does");
      return false;
    }
  };
}
function bytes(r, map = (chunk) => chunk) {
  const { place } = r;
  let length = NaN;
  let broken;
  let from;
  return {
    beats: false,
    resumable: () => !place.position || !!place.etag,
    begin({ status, headers }) {
      from = place.position;
      const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
      if (from ? status !== 206 || !range || +range[1] !== from : status === 206)
        throw new LeatError("changed", `what was read up to byte ${from} is not there any more. Begin again.`, { status });
      const plain2 = /^(|identity)$/i.test(headers.get("content-encoding") ?? "");
      const size = headers.get("content-length");
      length = plain2 && size ? from + +size : NaN;
      place.total = range ? range[2] === "*" ? void 0 : +range[2] : length || void 0;
      const etag = headers.get("etag");
      if (!plain2 || !from) place.etag = void 0;
      if (plain2 && etag?.startsWith('"')) place.etag = etag;
      broken = headers.get("leat-end");
    },
    feed(chunk, out) {
      out.push(map(chunk));
    },
    end() {
      if (place.position < length) throw truncated(`${length - place.position} bytes are missing`, true);
      return false;
    },
    // Coming back to the end of such a stream would only bring the same.
    over() {
      if (broken && place.position === from) return truncated(`the stream ended: ${broken}`);
    }
  };
}
function text(r) {
  const decoder = new TextDecoder();
  const form = bytes(r, (chunk) => decoder.decode(chunk, { stream: true }));
  return {
    ...form,
    end(last, out) {
      form.end(last, out);
      if (decoder.decode()) throw truncated("the text ends inside a character");
      return false;
    }
  };
}

// src/shared.ts
var answerTime = 5e3;
var askEvery = 2e4;
var canShare = (options) => isSafe(options.method) && !!globalThis.navigator?.locks && typeof BroadcastChannel === "function" && typeof document === "object";
var isOffset = (id) => /^\d{16}_\d{16}$/.test(id);
var startsNow = (url) => /\/events\?/.test(url) && !/[?&](from=(?!now)|last_?event_?id=)/i.test(url);
var Sharing = class {
  constructor(url, options, sink) {
    this.url = url;
    this.options = options;
    this.sink = sink;
    const { withCredentials, headers } = options;
    this.name = `leat ${!!withCredentials} ${url} ${typeof headers === "function" ? headers : JSON.stringify([...new Headers(headers)])}`;
    this.channel = new BroadcastChannel(this.name);
    this.channel.onmessage = (e) => this.hear(e.data);
    document.addEventListener("visibilitychange", this.ask);
    addEventListener("pageshow", this.ask);
    this.beat = setInterval(this.ask, askEvery);
    this.wish();
    this.say({ kind: "ask" });
  }
  url;
  options;
  sink;
  channel;
  name;
  stop = new AbortController();
  leading;
  catching;
  queue = [];
  // what was said while we catch up
  origin = "";
  doubt;
  // runs out if nobody answers
  beat;
  joined = false;
  get retry() {
    return this.leading?.retry ?? 0;
  }
  close() {
    this.stop.abort();
    this.leading?.close();
    this.catching?.close();
    this.channel.close();
    document.removeEventListener("visibilitychange", this.ask);
    removeEventListener("pageshow", this.ask);
    clearInterval(this.beat);
    clearTimeout(this.doubt);
  }
  /** wish waits for its turn to lead, or takes it from a page that does not answer. */
  wish(steal = false) {
    const { signal } = this.stop;
    navigator.locks.request(this.name, steal ? { steal } : { signal }, () => signal.aborted ? void 0 : this.lead()).catch(() => {
      this.leading?.close();
      this.leading = void 0;
      if (!signal.aborted) this.wish();
    });
  }
  /** lead makes the connection. What it returns ends when this page is done. */
  lead() {
    clearTimeout(this.doubt);
    this.catching?.close();
    this.catching = void 0;
    this.queue = [];
    const { sink } = this;
    let before = sink.place.lastEventId;
    this.leading = pump(this.url, this.options, {
      place: sink.place,
      opened: (origin) => {
        this.origin = origin;
        this.say({ kind: "state", origin });
        sink.opened(origin);
      },
      events: (batch) => {
        this.say({ kind: "events", before, batch });
        before = sink.place.lastEventId;
        sink.events(batch);
      },
      waiting: (error, delay) => {
        this.origin = "";
        this.say({ kind: "waiting", error: plain(error), delay });
        sink.waiting(error, delay);
      },
      ended: (error) => {
        this.say({ kind: "ended", error: plain(error) });
        this.end(error);
      }
    });
    return new Promise((resolve) => this.stop.signal.addEventListener("abort", () => resolve()));
  }
  /** ask makes sure that the page that leads is alive. It matters to who is looked at. */
  ask = () => {
    if (this.leading || document.visibilityState !== "visible") return;
    this.say({ kind: "ask" });
    this.doubt ??= setTimeout(() => {
      this.doubt = void 0;
      this.wish(true);
    }, answerTime);
  };
  say(message) {
    this.channel.postMessage({ ...message, id: this.sink.place.lastEventId });
  }
  hear(m) {
    const { sink, leading } = this;
    if (m.kind === "ask") {
      if (leading) this.say({ kind: "state", origin: this.origin });
      return;
    }
    if (leading) return;
    clearTimeout(this.doubt);
    this.doubt = void 0;
    if (this.catching) {
      this.queue.push(m);
      return;
    }
    if (m.kind === "waiting") return sink.waiting(failure(m.error), m.delay);
    if (m.kind === "ended") return this.end(failure(m.error));
    const place = m.kind === "events" ? m.before : m.id;
    if (!this.joined && !sink.place.lastEventId && startsNow(this.url)) sink.place.lastEventId = place;
    this.joined = true;
    if (isOffset(place) && place > sink.place.lastEventId) {
      this.queue.push(m);
      return this.catchUp(place);
    }
    if (m.kind === "events") return this.take(m.before, m.batch, m.id);
    if (m.origin) sink.opened(m.origin);
  }
  /** take shows what came, but for what this page has had. */
  take(before, batch, id) {
    const { sink } = this;
    const own = sink.place.lastEventId;
    const ahead = isOffset(own) && isOffset(before) && own > before;
    if (!ahead || id > own) sink.place.lastEventId = id;
    sink.events(ahead ? batch.filter((e) => e.id > own || e.gap && e.id === own) : batch);
  }
  /** catchUp gets what this page has missed over a connection of its own, up to a place. */
  catchUp(place) {
    const { sink } = this;
    const url = new URL(this.url);
    url.searchParams.set("heartbeat", "1s");
    const source = this.catching = pump(url.href, this.options, {
      ...sink,
      events: (batch) => {
        sink.events(batch);
        if (sink.place.lastEventId < place) return;
        source.close();
        this.catching = void 0;
        for (const m of this.queue.splice(0)) this.hear(m);
      },
      ended: (error) => this.end(error)
    });
  }
  end(error) {
    this.close();
    this.sink.ended(error);
  }
};
var plain = ({ code, message, status, body, problem }) => ({ code, message, status, body, problem });
var failure = ({ message, ...members }) => new LeatError(members.code, message, members);

// src/eventsource.ts
var LeatErrorEvent = class extends Event {
  constructor(error, delay) {
    super("error");
    this.error = error;
    this.delay = delay;
  }
  error;
  delay;
  /** The status of the answer, 0 if there was none. */
  get status() {
    return this.error.status;
  }
  /** The body of an answer that was refused. */
  get body() {
    return this.error.body;
  }
};
function pump(url, options, sink) {
  const form = events({
    place: sink.place,
    maxSize: options.maxSize ?? 16 << 20,
    setRetry: (ms) => follower.setRetry(ms),
    onComment: options.onComment
  });
  const follower = new Follower(url, { ...options, credentials: options.withCredentials ? "include" : "same-origin" }, eventStream, sink.place, form);
  follower.onopen = (response) => sink.opened(new URL(response.url || url).origin);
  follower.onwait = (error, delay) => sink.waiting(error, delay);
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
    },
    get retry() {
      return follower.retry;
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
  state = 0;
  place;
  at;
  // the id of the event that is dispatched
  origin = "";
  source;
  constructor(url, options = {}) {
    super();
    try {
      this.url = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href;
    } catch {
      throw new DOMException(`"${url}" is no URL`, "SyntaxError");
    }
    this.withCredentials = !!options.withCredentials;
    this.place = { lastEventId: options.lastEventId ?? "", position: 0 };
    const sink = {
      place: this.place,
      opened: (origin) => {
        this.origin = origin;
        if (this.state === 0) this.turn(1, new Event("open"));
      },
      events: (batch) => {
        for (const e of batch) {
          if (this.state === 2) return;
          this.at = e.id;
          const event = new MessageEvent(e.type, { data: e.data, lastEventId: e.id, origin: this.origin });
          const { gap, end } = e;
          this.dispatchEvent(gap || end ? Object.assign(event, { gap, end }) : event);
        }
        this.at = void 0;
      },
      waiting: (error, delay) => this.turn(0, new LeatErrorEvent(error, delay)),
      ended: (error) => this.turn(2, new LeatErrorEvent(error))
    };
    this.source = options.shared && canShare(options) ? new Sharing(this.url, options, sink) : pump(this.url, options, sink);
  }
  get readyState() {
    return this.state;
  }
  /** The last event ID: where another reader can go on. */
  get lastEventId() {
    return this.at ?? this.place.lastEventId;
  }
  /** The delay before a reconnect that the server asked for, in milliseconds; 0 if it did not. */
  get reconnectionTime() {
    return this.source.retry;
  }
  /** close ends the connection for good. */
  close() {
    this.state = 2;
    this.source.close();
  }
  turn(state, event) {
    if (this.state === 2) return;
    this.state = state;
    this.dispatchEvent(event);
  }
};
for (const type of ["open", "message", "error", "leat.gap", "leat.end"]) {
  const set = /* @__PURE__ */ new WeakMap();
  Object.defineProperty(LeatEventSource.prototype, "on" + type.replace("leat.", ""), {
    configurable: true,
    enumerable: true,
    get() {
      return set.get(this)?.handler ?? null;
    },
    set(handler) {
      if (typeof handler !== "function") handler = null;
      const known = set.get(this);
      if (known) known.handler = handler;
      else if (handler) {
        const mine = { handler };
        set.set(this, mine);
        this.addEventListener(type, (e) => mine.handler?.call(this, e));
      }
    }
  });
}

// src/publish.ts
async function publish(url, data, options = {}) {
  const { type, producer, signal, credentials, fetch = globalThis.fetch, maxFailures = Infinity } = options;
  const target = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
  const key = options.key ?? (producer ? void 0 : Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("-"));
  if (type) target.searchParams.set("type", type);
  if (key) target.searchParams.set("key", key);
  const raw = typeof data === "string" || data instanceof Blob || data instanceof ArrayBuffer || ArrayBuffer.isView(data);
  const body = raw ? data : JSON.stringify(data);
  const contentType = options.contentType ?? (typeof data === "string" ? "text/plain" : !raw ? "application/json" : data instanceof Blob && data.type || "application/octet-stream");
  for (let failures = 0; ; failures++) {
    const headers = await headersOf(options);
    headers.set("content-type", contentType);
    if (producer) {
      headers.set("producer-id", producer.id);
      headers.set("producer-epoch", `${producer.epoch}`);
      headers.set("producer-seq", `${producer.seq}`);
    }
    let error;
    try {
      const response = await fetch(new Request(target, { method: "POST", headers, body, credentials, signal }));
      if (response.ok) {
        const text2 = await response.text();
        return text2 ? JSON.parse(text2) : {};
      }
      error = await refusal(response);
      if (![408, 429, 502, 503, 504].includes(error.status)) throw error;
    } catch (e) {
      if (signal?.aborted || e instanceof LeatError) throw e;
      error = network(target.href, e, "unavailable");
    }
    if (failures >= maxFailures) throw error;
    await new Promise((resolve) => setTimeout(resolve, wait(failures, error.retryAfter, 500)));
    signal?.throwIfAborted();
  }
}

// src/stream.ts
var accepts = {
  sse: eventStream,
  ndjson: "application/x-ndjson",
  json: "application/json",
  bytes: "*/*",
  text: "*/*"
};
var forms = { sse: events, ndjson: lines, json: elements, bytes, text };
function formOf(response) {
  const type = mediaType(response);
  if (type === eventStream) return "sse";
  if (/^application\/(x-ndjson|ndjson|jsonl|stream\+json)$/.test(type)) return "ndjson";
  if (/[/+]json$/.test(type)) return "json";
  return type.startsWith("text/") ? "text" : "bytes";
}
function stream(source, options = {}) {
  const { as, signal, maxSize = 16 << 20, onComment, onInvalid } = options;
  const place = { lastEventId: "", position: 0, ...options.resume };
  const form = (as2) => forms[as2]({ place, maxSize, onComment, onInvalid, setRetry: (ms) => follower.setRetry(ms) });
  const response = source instanceof Response ? source : void 0;
  const follower = new Follower(
    response?.url ?? String(source),
    options,
    as ? accepts[as] : "*/*",
    place,
    as && form(as),
    (response2) => form(formOf(response2))
  );
  follower.onopen = options.onOpen;
  follower.onwait = options.onWait;
  follower.onprogress = options.onProgress;
  let at;
  async function* each() {
    const abort = () => follower.close(signal.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
    try {
      for await (const batch of follower.run(response)) {
        for (let i = 0; i < batch.length && !follower.closed; ) {
          const item = batch[i++];
          at = i < batch.length ? item?.id : void 0;
          yield item;
        }
      }
      if (follower.reason !== void 0) throw follower.reason;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }
  return Object.defineProperties(each(), {
    place: { get: () => ({ ...place, lastEventId: place.lastEventId && at || place.lastEventId }) },
    cancel: { value: () => follower.close() }
  });
}
export {
  LeatError,
  LeatErrorEvent,
  LeatEventSource,
  publish,
  stream
};
