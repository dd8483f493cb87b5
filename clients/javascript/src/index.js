// townsquare-client: rooms, direct conversations and live data streams of a Townsquare app.
//
//     const townsquare = connect({ url: "https://example.org", name: "Ann" });
//     const lobby = townsquare.room("lobby");
//     lobby.on("message", ({ from, content }) => console.log(from, content));
//     await lobby.join();
//     await lobby.send("Hello!");
export { connect, Client } from "./client.js";
export { NotConnectedError } from "./connection.js";
export { ApiError, NetworkError, OriginError } from "./http.js";
export { MAX_PENDING_MESSAGES, OutboxFullError } from "./outbox.js";
export { isRoomName } from "./room.js";
