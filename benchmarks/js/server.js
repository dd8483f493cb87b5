// A Socket.IO server with one room and one way to speak to it: POST /send.
const { createServer } = require("node:http");
const { Server } = require("socket.io");

const http = createServer((request, response) => {
  if (request.method === "GET") return response.end();
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    io.to("benchmark").emit("message", JSON.parse(Buffer.concat(parts)));
    response.writeHead(202).end();
  });
});
const io = new Server(http, { transports: ["websocket"] });
io.on("connection", (socket) => {
  socket.join("benchmark");
  // A round trip to the server: said and acknowledged.
  socket.on("say", (words, acknowledge) => acknowledge());
});
http.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 }, () => {
  console.log("ready");
});
