// townsquare-client: rooms, direct conversations and live data streams of a Townsquare app.
//
//     const townsquare = connect({ url: "https://example.org", name: "Ann" });
//     const lobby = townsquare.room("lobby");
//     lobby.on("message", ({ from, content }) => console.log(from, content));
//     await lobby.join();
//     await lobby.send("Hello!");

/** @typedef {import("./client.js").ConnectOptions} ConnectOptions */
/** @typedef {import("./client.js").Profile} Profile */
/** @typedef {import("./connection.js").ConnectionState} ConnectionState */
/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("./conversation.js").HistoryPage} HistoryPage */
/** @typedef {import("./direct.js").DirectConversation} DirectConversation */
/** @typedef {import("./message-log.js").Change} Change */
/** @typedef {import("./message-log.js").Entry} Entry */
/** @typedef {import("./outbox.js").MessageOptions} MessageOptions */
/** @typedef {import("./outbox.js").PendingMessage} PendingMessage */
/** @typedef {import("./room.js").Role} Role */
/** @typedef {import("./room.js").Room} Room */
/** @typedef {import("./room.js").RoomSettings} RoomSettings */
/** @typedef {import("./stream.js").Stream} Stream */

export { connect, Client } from "./client.js";
export { NotConnectedError } from "./connection.js";
export { ApiError, NetworkError, OriginError } from "./http.js";
export { MAX_PENDING_MESSAGES, OutboxFullError } from "./outbox.js";
export { isRoomName } from "./room.js";
