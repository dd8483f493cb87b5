// The dialog in which a user changes what others see: name, status and colour.
import { ask } from "./dialogs.js";
import { COLOURS, hueOf, hueOfColour } from "./dom.js";
import { colourOf, displayName, statusOf } from "./format.js";
import { texts } from "./texts.js";

const MAX_NAME_CHARACTERS = 40;
const MAX_STATUS_CHARACTERS = 100;

/** @param {import("townsquare-client").Client} client */
export function editProfile(client) {
  const userId = client.userId ?? "";
  const before = { name: displayName(userId), status: statusOf(userId), colour: colourOf(userId) };
  ask({
    title: texts.profileTitle,
    text: texts.profileText,
    action: texts.save,
    fields: [
      {
        name: "name",
        label: texts.nameLabel,
        type: "text",
        value: before.name,
        maxLength: MAX_NAME_CHARACTERS,
        isRequired: true,
      },
      {
        name: "status",
        label: texts.status,
        type: "text",
        value: before.status,
        placeholder: texts.statusExample,
        maxLength: MAX_STATUS_CHARACTERS,
      },
      {
        name: "colour",
        label: texts.colour,
        type: "colour",
        value: before.colour === null ? "" : String(before.colour),
        choices: [
          ["", texts.automaticColour, hueOf(before.name)],
          ...Array.from({ length: COLOURS }, (_, colour) => [
            String(colour),
            texts.colours[colour],
            hueOfColour(colour),
          ]),
        ],
      },
    ],
    submit: async ({ name, status, colour }) => {
      const now = { name, status, colour: colour === "" ? null : Number(colour) };
      const changes = Object.entries(now).filter(([field, value]) => value !== before[field]);
      if (changes.length) await client.updateProfile(Object.fromEntries(changes));
    },
  });
}
