// The live connection: questions and frames out, answers in; comes back by itself when the server does.

const ENCODED = 0;
const LONGEST_WAIT = 3000; // milliseconds between attempts

/** A binary message of a frame (see frame.py): a file's bytes where there is no width. */
export function packFrame(number, bytes, kind = ENCODED, width = 0, height = 0) {
  const message = new Uint8Array(12 + bytes.byteLength);
  const head = new DataView(message.buffer);
  head.setUint32(0, number, true);
  head.setUint8(4, kind);
  head.setUint16(6, width, true);
  head.setUint16(8, height, true);
  message.set(new Uint8Array(bytes.buffer ?? bytes, bytes.byteOffset ?? 0, bytes.byteLength), 12);
  return message;
}

/** An answer's JSON with its arrays (see parcel.py). */
export function unpackAnswer(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const answer = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  for (const entry of Object.values(answer.arrays)) {
    const count = entry.shape.reduce((one, other) => one * other, 1);
    const at = 4 + length + entry.at;
    entry.values = entry.kind === "numbers" ? new Float32Array(buffer, at, count) : new Uint8Array(buffer, at, count);
  }
  return answer;
}

export class Connection {
  /** `handlers`: opened, closed, answered(answer), failed(error), noticed(text). */
  constructor(handlers) {
    this.handlers = handlers;
    this.inFlight = 0; // frames sent and not answered
    this.number = 0;
    this.wait = 200;
    this.open();
  }

  open() {
    const address = new URL("api/live", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.hash = "";
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.wait = 200;
      this.inFlight = 0;
      this.handlers.opened();
    };
    this.socket.onmessage = ({ data }) => this.take(data);
    this.socket.onclose = (event) => {
      this.inFlight = 0;
      this.handlers.closed(event);
      setTimeout(() => this.open(), this.wait);
      this.wait = Math.min(LONGEST_WAIT, this.wait * 1.6);
    };
  }

  get ready() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  take(data) {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.type === "notice") this.handlers.noticed(message.text);
      else {
        this.settle(message.frame);
        this.handlers.failed(message);
      }
      return;
    }
    const answer = unpackAnswer(data);
    this.settle(answer.frame);
    this.handlers.answered(answer);
  }

  /** Newer frames replace older ones at the server: what was sent before an answered frame will not be answered. */
  settle(frame) {
    if (frame === null || frame === undefined) this.inFlight = 0;
    else this.inFlight = Math.min(this.inFlight, Math.max(0, this.number - frame));
  }

  ask(question) {
    if (this.ready) this.socket.send(JSON.stringify(question));
  }

  /** Sends a picture: a file's bytes, or plain pixels with their kind and size. */
  send(bytes, kind, width, height) {
    if (!this.ready) return;
    this.number += 1;
    this.inFlight += 1;
    this.socket.send(packFrame(this.number, bytes, kind, width, height));
  }
}
