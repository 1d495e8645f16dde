// The field for the API key, shown where the server asks for one.
import { hasKey, setKey } from "./server_api.js";

const byId = (id) => document.getElementById(id);

// `connect` tries again. The returned function shows the form with the server's sentence; null hides it.
export function setUpKeyForm(connect) {
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setKey(byId("key").value.trim());
    byId("key").value = "";
    connect();
  });
  byId("forget-key").addEventListener("click", () => {
    setKey("");
    byId("settings").close();
    connect();
  });
  return (sentence) => {
    const asked = sentence !== null;
    byId("key-form").hidden = !asked;
    byId("key-error").textContent = asked && hasKey() ? sentence : "";
    byId("forget-key").hidden = !hasKey();
    if (asked) byId("key").focus();
  };
}
