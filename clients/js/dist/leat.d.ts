// leat 0.1.0: built from clients/js/src by `npm run build`. Do not edit.
/** How a failure of an answer or a connection is told. */
export declare class LeatError extends Error {
    /**
     * What kind of failure it is. That of the server's problem document, or one of
     * `unavailable` (no connection, or it fell silent), `unexpected_answer` (a status or a
     * content type that was not asked for), `truncated` (what came is not whole),
     * `changed` (there is something else now where this was read from), `invalid_line`,
     * `invalid_body`, `too_large`, `ended` (there is no more to come).
     */
    code: string;
    /** The status of the answer, 0 if there was none. */
    status: number;
    /** The body of an answer that was refused, empty if there was none. */
    body: string;
    /** The members of the problem document, if the body is one. */
    problem?: Record<string, any>;
    /** The line of NDJSON, or the element of an array, that is wrong, counted from 1. */
    line?: number;
    constructor(code: string, message: string, members?: Partial<LeatError>);
}
/** What an event stream delivers. */
export interface LeatEvent {
    /** The event type, `message` if the server gave none. */
    type: string;
    data: string;
    /** The last event ID: where another reader can go on after this event. */
    id: string;
    /** Of `leat.gap`: which records are missing. */
    gap?: Gap;
    /** Of `leat.end`: how a topic has ended. */
    end?: End;
}
/** Records are gone that this reader was owed. The next events are those after `next`. */
export interface Gap {
    /**
     * `trimmed`: the records were removed. `replaced`: a topic was deleted, and what may
     * be there now is a new one of that name. `skipped`: this reader was too slow for a
     * rule of the server. `lost`: the server lost them. `foreign`: the id that was asked
     * for is not of this server's log.
     */
    reason: string;
    asked: string;
    next: string;
    topics?: {
        topic: string;
        through: string;
    }[];
    more?: number;
}
/** How a topic has ended. */
export interface End {
    topic: string;
    /** `complete`, `aborted`, `error`, `truncated`, `deleted` or `expired`. */
    state: string;
    reason?: string;
}
/** How a request is made, and what becomes of it when the connection does not last. */
export interface ConnectOptions {
    /** GET by default. */
    method?: string;
    /** A function is called for each attempt, for example to get a fresh token. */
    headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
    /** Sent with each attempt. */
    body?: BodyInit | null;
    /** As of fetch: `same-origin` by default. */
    credentials?: RequestCredentials;
    /**
     * Whether the request may be made again by itself: after the end, a failure or
     * silence. True by default for GET, and false for every other method, since it may
     * do its work twice.
     */
    repeat?: boolean;
    /**
     * For how many milliseconds nothing may arrive before the connection is taken for
     * dead. Any byte counts, a heartbeat's too. 0 is for ever. By default 45000, three
     * heartbeats of a Leat server, if the request may be made again; and for ever
     * where nobody sends heartbeats, once the answer has begun.
     */
    stall?: number;
    /**
     * About how many milliseconds to wait before another attempt, until the server names
     * a delay. 1000 by default. It grows with each failure in a row, to 30 s.
     */
    retry?: number;
    /** How many failures in a row to endure. No limit by default. */
    maxFailures?: number;
    /** The largest event, line or element, in characters. 16 Mi by default. */
    maxSize?: number;
    /** Called with each comment of an event stream, such as a heartbeat. */
    onComment?: (text: string) => void;
    /** Called with the head of each answer that is good. */
    onOpen?: (response: Response) => void;
    /** Called when the connection is lost, or could not be made: there is another attempt in delay milliseconds. */
    onWait?: (error: LeatError, delay: number) => void;
    /** Sends the requests in place of the global fetch. */
    fetch?: typeof fetch;
}
/** Where a reader stands, and another one can go on. */
export interface Place {
    /** Of events and of a Leat server's lines. */
    lastEventId: string;
    /** How many bytes have come. */
    position: number;
    /** What position belongs to: without it bytes cannot be resumed. */
    etag?: string;
    /** How many bytes there will be, if that is known. */
    total?: number;
}
/** The items of a body, by what it is read as. */
export interface Items<T> {
    /** Events, over connections that are made again. */
    sse: LeatEvent;
    /** What stands on each line. Of a Leat server records, `{id, gap}` and `{id, end}`. */
    ndjson: T;
    /** The elements of an array, or the one value. */
    json: T;
    /** Chunks of any size. */
    bytes: Uint8Array;
    /** Pieces of text of any size, cut between characters. */
    text: string;
}
/** The form of a body. */
export type As = keyof Items<unknown>;
export interface StreamOptions extends ConnectOptions {
    /** What to read the body as. By its content type if it is not said. */
    as?: As;
    /** Where an earlier reader stopped. Bytes need their position and ETag, events and lines their last event ID. */
    resume?: Partial<Place>;
    /** Ends it: the loop throws the reason. */
    signal?: AbortSignal;
    /** Called with what has come so far. */
    onProgress?: (place: Place) => void;
    /** Called with a line that is not JSON, to go on after it. Without it such a line is thrown. */
    onInvalid?: (error: LeatError) => void;
}
/** The items of a body as they arrive, for one loop. */
export interface Stream<T> extends AsyncIterableIterator<T> {
    /** Where it stands. To go on there later, save it when an item has been dealt with. */
    readonly place: Readonly<Place>;
    /** cancel closes the connection; the loop ends. */
    cancel(): void;
}
/**
 * stream reads what a server sends at a URL, item by item, as it arrives:
 *
 *     for await (const event of stream("/events?topic=news", { as: "sse" })) …
 *
 * A connection that breaks or falls silent is made again where the rest can be had: of
 * event streams, and of lines of a Leat server, by the last event ID; of bytes by Range
 * and If-Range. Otherwise, and if the request may not be repeated, the loop throws: a
 * body that is not whole never ends as if it was. A response that is there already can
 * be given in place of the URL.
 */
export declare function stream<A extends As>(source: string | URL | Response, options: StreamOptions & {
    as: A;
}): Stream<Items<any>[A]>;
export declare function stream<T = any>(source: string | URL | Response, options?: StreamOptions): Stream<T>;
export interface LeatEventSourceInit extends Omit<ConnectOptions, "credentials" | "onOpen" | "onWait"> {
    /** As of EventSource: cookies go to other origins too. */
    withCredentials?: boolean;
    /** The last event ID to begin with: where an earlier reader stopped. */
    lastEventId?: string;
    /**
     * One connection for all pages of this origin that ask for the same with the same
     * options. It needs Web Locks, which browsers have on https and localhost;
     * elsewhere each page has its own connection.
     */
    shared?: boolean;
}
/** The event `error`: what is wrong, and when there will be another attempt. */
export interface LeatErrorEvent extends Event {
    readonly error: LeatError;
    /** In how many milliseconds there is another attempt; undefined if there is none. */
    readonly delay?: number;
    /** The status of the answer, 0 if there was none. */
    readonly status: number;
    /** The body of an answer that was refused. */
    readonly body: string;
}
type Handler<E extends Event> = ((this: LeatEventSource, event: E) => any) | null;
/** What `leat.gap` and `leat.end` are dispatched as: `data` is the JSON of `gap`, or of `end`. */
export interface LeatMessageEvent extends MessageEvent<string> {
    gap?: Gap;
    end?: End;
}
/**
 * A LeatEventSource takes the place of an EventSource: it has the same members and
 * events, and goes on where it was. Other than that one it comes back after an answer of
 * 429 or 5xx, notices silence, waits longer after each failure, tells why it failed, and
 * takes any method, headers and body.
 */
export declare class LeatEventSource extends EventTarget {
    #private;
    static readonly CONNECTING = 0;
    static readonly OPEN = 1;
    static readonly CLOSED = 2;
    readonly CONNECTING = 0;
    readonly OPEN = 1;
    readonly CLOSED = 2;
    readonly url: string;
    readonly withCredentials: boolean;
    onopen: Handler<Event>;
    onmessage: Handler<MessageEvent<string>>;
    onerror: Handler<LeatErrorEvent>;
    /** Records are gone that were due: the event `leat.gap`. */
    ongap: Handler<LeatMessageEvent>;
    /** A topic has ended: the event `leat.end`. */
    onend: Handler<LeatMessageEvent>;
    constructor(url: string | URL, options?: LeatEventSourceInit);
    get readyState(): 0 | 1 | 2;
    /** The last event ID: where another reader can go on. */
    get lastEventId(): string;
    /** close ends the connection for good. */
    close(): void;
}
export interface LeatEventSource {
    addEventListener(type: "open", listener: (this: LeatEventSource, event: Event) => any, options?: boolean | AddEventListenerOptions): void;
    addEventListener(type: "error", listener: (this: LeatEventSource, event: LeatErrorEvent) => any, options?: boolean | AddEventListenerOptions): void;
    addEventListener(type: string, listener: (this: LeatEventSource, event: LeatMessageEvent) => any, options?: boolean | AddEventListenerOptions): void;
    addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}
export interface PublishOptions extends Pick<ConnectOptions, "headers" | "credentials" | "fetch" | "maxFailures" | "retry" | "stall" | "onWait"> {
    /** The event type of the record. */
    type?: string;
    /**
     * Names the record: one with a key that its topic got in the last minutes is not
     * stored again. One is made up if there is neither a key nor a producer.
     */
    key?: string;
    /** Who sends what, in place of a key: at /streams/ only. A request may be repeated for days. */
    producer?: {
        id: string;
        epoch: number;
        seq: number;
    };
    /** By default `text/plain` of a string, that of a Blob, none of bytes, else `application/json`. */
    contentType?: string;
    /** Ends it: the reason is thrown. */
    signal?: AbortSignal;
}
/** What the server says of a record that it has stored. */
export interface Receipt {
    /** Its offset, where the server tells it. */
    id?: string;
    topic?: string;
    /** It was stored before, perhaps by an attempt whose answer was lost. */
    duplicate?: boolean;
}
/**
 * publish stores a record at a Leat server: at `/events?topic=NAME`, or `/streams/NAME`.
 * Data is text, bytes or a Blob, or any other value, as JSON. It returns when the record
 * is stored, and tries again if there is no answer, or one that says that the server is
 * in trouble. A record is stored once however often that happens.
 */
export declare function publish(url: string | URL, data: unknown, options?: PublishOptions): Promise<Receipt>;
