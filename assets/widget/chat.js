/** What the widget loads when it is opened: the user interface with its style sheet. */

import styles from "../ui/chat.css" with { type: "text" };

export { mountChat } from "../ui/chat.js";
export { styles };
