// A network that a test can cut: put into the page before its own code.
// Playwright's set_offline leaves open sockets alone, so the sockets themselves are held here.
{
  const sockets = new Set();
  let isCut = false;
  let isTooLate = false;

  function reachable(url) {
    const address = new URL(url);
    if (isCut) address.pathname = "/nobody-is-here";
    // The service keeps a lost connection for 30 s; then it knows nothing of the token.
    if (isTooLate && address.searchParams.has("awps_reconnection_token"))
      address.searchParams.set("awps_reconnection_token", "expired");
    return address;
  }

  class Socket extends WebSocket {
    constructor(url, protocols) {
      super(reachable(url), protocols);
      sockets.add(this);
    }
  }

  window.WebSocket = Socket;
  window.network = {
    cut() {
      isCut = true;
      for (const socket of sockets) socket.close(4000, "the network was cut");
    },
    mend(afterLong) {
      [isCut, isTooLate] = [false, afterLong];
    },
    swallow() {
      for (const socket of sockets) {
        socket.addEventListener("message", (event) => event.stopImmediatePropagation(), {
          capture: true,
        });
        socket.onmessage = null;
        socket.send = () => {};
      }
    },
  };
}
