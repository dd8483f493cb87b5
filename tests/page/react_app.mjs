// A React app on the hooks: a room and a stream. The test bundles it and runs it in the browser.
import { StrictMode, createElement, useState } from "react";
import { createRoot } from "react-dom/client";
import { connect } from "townsquare-client";
import {
  TownsquareProvider,
  useConnectionState,
  useRoom,
  useStream,
} from "../../clients/javascript/src/react.js";

const parameters = new URLSearchParams(location.search);
const townsquare = connect({ url: location.origin, name: parameters.get("name") });

function Chat({ name }) {
  const { messages, pending, userCount, send, error } = useRoom(name);
  const [text, setText] = useState("");
  const submit = (event) => {
    event.preventDefault();
    send(text);
    setText("");
  };
  const rows = messages.map(({ seq, content }) => createElement("li", { key: seq }, content));
  return createElement(
    "section",
    {},
    createElement("p", { id: "count" }, error ? error.code : userCount),
    createElement("ol", { id: "messages", "data-pending": pending.length }, ...rows),
    createElement(
      "form",
      { onSubmit: submit },
      createElement("input", { value: text, onChange: (event) => setText(event.target.value) }),
    ),
  );
}

function Price() {
  const { frame, isStale } = useStream("stock-prices");
  const price = frame ? Object.values(frame.data.symbols)[0].price : "none";
  return createElement("p", { id: "price", "data-stale": isStale }, price);
}

function App() {
  const state = useConnectionState();
  const [room, setRoom] = useState(parameters.get("room"));
  return createElement(
    "main",
    {},
    createElement("p", { id: "state" }, state),
    createElement("button", { onClick: () => setRoom(`${room}-2`) }, "Other room"),
    createElement(Chat, { name: room }),
    createElement(Price),
  );
}

createRoot(document.getElementById("root")).render(
  createElement(
    StrictMode,
    {},
    createElement(TownsquareProvider, { client: townsquare }, createElement(App)),
  ),
);
