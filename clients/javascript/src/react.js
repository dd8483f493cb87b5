// React hooks: the client in a context of React's, and what components show of it.
//
//     const townsquare = connect({ url, session });
//     <TownsquareProvider client={townsquare}><Chat /></TownsquareProvider>
//     const { messages, send } = useRoom("lobby");
//     const { frame, isStale } = useStream("weather");
import { createContext, createElement, useContext, useEffect, useMemo, useReducer } from "react";

/** @typedef {import("./client.js").Client} Client */

const ClientContext = createContext(/** @type {Client|null} */ (null));

/**
 * Gives a client to the hooks of all components inside.
 * @param {{client: Client, children?: import("react").ReactNode}} properties
 */
export function TownsquareProvider({ client, children }) {
  return createElement(ClientContext.Provider, { value: client }, children);
}

/** The client of the nearest provider. */
export function useTownsquare() {
  const client = useContext(ClientContext);
  if (!client) throw new Error("Expected a <TownsquareProvider client={...}> around this component.");
  return client;
}

/** The state of the connection: "connecting", "live", "reconnecting" or "closed". */
export function useConnectionState() {
  const client = useTownsquare();
  useChanges(client, "state");
  return client.state;
}

/**
 * A room, joined when a component first shows it. It stays joined until `room.leave()`.
 * @param {string} name
 */
export function useRoom(name) {
  const client = useTownsquare();
  const room = useMemo(() => client.room(name), [client, name]);
  useChanges(room, "change");
  useEffect(() => {
    room.join().catch(() => {}); // `error` is emitted
  }, [room]);
  return {
    room,
    messages: room.entries.slice(),
    pending: room.pending.slice(),
    users: [...room.users.keys()],
    userCount: room.userCount,
    typing: [...room.typingUsers.keys()],
    unread: room.unread,
    error: room.error,
    isJoined: room.isJoined,
    hasMore: room.log.hasMore,
    send: (
      /** @type {string} */ content,
      /** @type {import("./outbox.js").MessageOptions} */ options = {},
    ) => room.send(content, options),
    title: room.title,
    topic: room.topic,
    role: room.role,
    mentions: room.mentions,
    sendTyping: () => room.typing(),
    markRead: () => room.markRead(),
    loadEarlier: () => room.loadEarlier(),
  };
}

/**
 * A data stream, subscribed to as soon as a component shows it.
 * @param {string} name
 */
export function useStream(name) {
  const client = useTownsquare();
  const stream = useMemo(() => client.stream(name), [client, name]);
  useChanges(stream, "change");
  const [error, setError] = useReducer(
    (/** @type {Error|null} */ _, /** @type {Error|null} */ next) => next,
    null,
  );
  useEffect(() => {
    let isShown = true;
    client
      .connected()
      .then(() => (stream.isSubscribed ? undefined : stream.subscribe()))
      .catch((reason) => isShown && setError(reason));
    return () => void (isShown = false);
  }, [client, stream]);
  return { stream, frame: stream.frame, isStale: stream.isStale, isSubscribed: stream.isSubscribed, error };
}

/** Draws the component again at each of these events. @param {{on: Function}} emitter @param {string} event */
function useChanges(emitter, event) {
  const [, redraw] = useReducer((/** @type {number} */ count) => count + 1, 0);
  useEffect(() => {
    redraw(); // what changed before the listener was there
    return emitter.on(event, redraw);
  }, [emitter, event]);
}
