// The dialog in which a user changes their own name.
import { ask } from "./dialogs.js";
import { displayName } from "./format.js";
import { texts } from "./texts.js";

const MAX_NAME_CHARACTERS = 40;

/** @param {import("townsquare-client").Client} client @param {() => void} changed */
export function editProfile(client, changed) {
  ask({
    title: texts.profileTitle,
    text: texts.profileText,
    action: texts.save,
    fields: [
      {
        name: "name",
        label: texts.nameLabel,
        type: "text",
        value: displayName(client.userId ?? ""),
        maxLength: MAX_NAME_CHARACTERS,
        isRequired: true,
      },
    ],
    submit: async ({ name }) => {
      await client.updateProfile({ name });
      changed();
    },
  });
}
