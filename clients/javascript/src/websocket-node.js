// The WebSocket of Node: its own since Node 22, before that the package `ws`.
import { WebSocket as NodeWebSocket } from "ws";

/** @returns {typeof WebSocket} */
export const webSocketClass = () => globalThis.WebSocket ?? NodeWebSocket;
