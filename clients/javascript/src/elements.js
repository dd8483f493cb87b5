// The custom elements <townsquare-room> and <townsquare-stream>:
//
//     <script type="module" src="https://townsquare.example.org/assets/townsquare-elements.js"></script>
//     <townsquare-room room="lobby" name="Ann"></townsquare-room>
//     <townsquare-stream stream="stock-prices" value="symbols.AAPL.price"></townsquare-stream>
//
// `url` is the app's address; without it the one that this file came from. `session` proves an
// identity, and so does the property `getSession`; without either `name` makes a guest.
import { RoomElement } from "./room-element.js";
import { StreamElement } from "./stream-element.js";

if (!customElements.get("townsquare-room")) customElements.define("townsquare-room", RoomElement);
if (!customElements.get("townsquare-stream"))
  customElements.define("townsquare-stream", StreamElement);

export { RoomElement, StreamElement };
