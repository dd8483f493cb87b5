// A network that a test can cut: put into the page before its own code.
// Playwright's set_offline leaves open sockets alone, so the sockets themselves are held here.
{
  const sockets = new Set();
  let isCut = false;
  let isSilent = false;
  let isForgotten = false;

  function addressOf(url) {
    const address = new URL(url);
    if (isCut) address.pathname = "/nothing-is-here";
    // The service keeps a lost connection for 30 s; then it does not know the token any more.
    if (isForgotten && address.searchParams.has("awps_reconnection_token"))
      address.searchParams.set("awps_reconnection_token", "expired");
    return address;
  }

  class Socket extends WebSocket {
    constructor(url, protocols) {
      super(addressOf(url), protocols);
      sockets.add(this);
      this.isSilent = isSilent;
      for (const event of ["open", "message"])
        this.addEventListener(event, (one) => this.isLost(one) && one.stopImmediatePropagation());
    }

    isLost({ data }) {
      return this.isSilent || (data && window.network.drop(JSON.parse(data).data ?? {}));
    }

    send(data) {
      if (!this.isSilent) super.send(data);
    }

    /** What is half-open gets no closing handshake either. */
    close(...args) {
      if (!this.isSilent) super.close(...args);
    }
  }

  window.WebSocket = Socket;
  window.network = {
    /** Which of the app's frames are lost on their way. */
    drop: () => false,
    /** Closes the sockets as a lost network does, and lets no new one through. */
    cut() {
      isCut = true;
      for (const socket of sockets) socket.close(4000, "the network was cut");
    },
    restore(afterLong) {
      [isCut, isSilent, isForgotten] = [false, false, afterLong];
    },
    /** The sockets of now stay open, and nothing comes through them; new ones too when `all`. */
    silence(all) {
      isSilent = all;
      for (const socket of sockets) socket.isSilent = true;
    },
  };
}
