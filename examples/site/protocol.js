// Shows over which protocol the browser loaded this page and its files.
const names = { h3: "HTTP/3", h2: "HTTP/2", "http/1.1": "HTTP/1.1" };

window.addEventListener("load", () => {
  const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const protocol = entries[0]?.nextHopProtocol;
  if (protocol) {
    document.getElementById("protocol").textContent = names[protocol] ?? protocol;
  }
  document.getElementById("files").textContent = entries.filter((entry) => entry.nextHopProtocol === protocol).length;
});
