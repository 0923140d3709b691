// Node's http and https as the tests want them; see servers.rs.
const fs = require('fs');
const http = require('http');
const https = require('https');

const folder = '@FOLDER@';
const page = fs.readFileSync(`${folder}/www/page`);
let number = 0;

function answer(request, response) {
  console.error(`seen ${request.socket.remotePort} ${request.method} ${request.url}`);
  if (request.method === 'PUT' && request.url.startsWith('/put/')) return take(request, response);
  if (request.url === '/page') {
    response.writeHead(200, { 'content-length': page.length });
    return response.end(request.method === 'HEAD' ? undefined : page);
  }
  if (request.url === '/chunked') {
    response.writeHead(200);
    for (let at = 0; at < page.length; at += 100_003) response.write(page.subarray(at, at + 100_003));
    return response.end();
  }
  response.writeHead(404);
  response.end();
}

function take(request, response) {
  const part = `${folder}/part-${number++}`;
  const file = fs.createWriteStream(part);
  request.on('error', () => fs.rmSync(part, { force: true }));
  request.pipe(file).on('finish', () => {
    if (!request.complete) return;
    fs.renameSync(part, `${folder}/www${request.url}`);
    response.writeHead(201);
    response.end();
  });
}

const files = { cert: fs.readFileSync(`${folder}/cert.pem`), key: fs.readFileSync(`${folder}/key.pem`) };
const only = (version) => ({ ...files, minVersion: version, maxVersion: version });
http.createServer(answer).listen(@HTTP@);
https.createServer(only('TLSv1.2'), answer).listen(@TLS12@);
https.createServer(only('TLSv1.3'), answer).listen(@TLS13@);
