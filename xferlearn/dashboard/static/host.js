// What the page has to do with TensorBoard around it: light or dark, and its reload button.

export function followTheme() {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const board = boardBody();
  const update = () => {
    const isDark = board ? board.classList.contains("dark-mode") : dark.matches;
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
  };
  update();
  if (board) new MutationObserver(update).observe(board, { attributeFilter: ["class"] });
  else dark.addEventListener("change", update);
}

// TensorBoard's own setting wins over the system's: the tab must not differ from its frame.
function boardBody() {
  try {
    return window.parent === window ? null : window.parent.document.body;
  } catch {
    return null;
  }
}

// The messages of tensorboard_plugin_experimental/plugin_lib, of which only this one is needed.
export function onReload(callback) {
  if (window.parent === window) return;
  const channel = new MessageChannel();
  channel.port1.onmessage = ({ data }) => {
    const { type, id, isReply } = JSON.parse(data);
    if (isReply) return;
    const reply = { type, id, payload: null, error: null, isReply: true };
    channel.port1.postMessage(JSON.stringify(reply));
    if (type === "experimental.DataReloaded") callback();
  };
  window.parent.postMessage("experimental.bootstrap", "*", [channel.port2]);
}
