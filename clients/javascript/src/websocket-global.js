// The WebSocket of browsers and workers. It is looked up at each call: a page may replace it.

/** @returns {typeof WebSocket} */
export const webSocketClass = () => globalThis.WebSocket;
