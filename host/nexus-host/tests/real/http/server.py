"""Python's http.server, in the clear and over ssl, as the tests want it; see servers.rs."""

import http.server
import os
import ssl
import sys
import threading

FOLDER = "@FOLDER@"
PAGE = open(FOLDER + "/www/page", "rb").read()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code="-", size="-"):
        print("seen", self.client_address[1], self.command, self.path, file=sys.stderr, flush=True)

    def log_error(self, *words):
        pass

    def do_GET(self):
        if self.path == "/page":
            self.send_response(200)
            self.send_header("content-length", str(len(PAGE)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(PAGE)
        elif self.path == "/chunked":
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            if self.command == "HEAD":
                return
            for at in range(0, len(PAGE), 100_003):
                part = PAGE[at : at + 100_003]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_error(404)

    do_HEAD = do_GET

    def do_PUT(self):
        part = FOLDER + "/part-" + str(threading.get_ident())
        with open(part, "wb") as file:
            whole = self.take(file)
        if whole:
            os.rename(part, FOLDER + "/www" + self.path)
            self.send_response(201)
            self.send_header("content-length", "0")
            self.end_headers()

    def take(self, file):
        """The body; whether it is whole."""
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.copy(int(self.headers["content-length"]), file)
        while size := int(self.rfile.readline() or b"-1", 16):
            if size < 0 or not self.copy(size, file):
                return False
            self.rfile.readline()
        return self.rfile.readline() == b"\r\n"

    def copy(self, left, file):
        while left and (part := self.rfile.read(min(left, 1 << 16))):
            file.write(part)
            left -= len(part)
        return not left


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that go are what some tests are about."""


def serve(port, version=None):
    server = Server(("", port), Handler)
    if version:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(FOLDER + "/cert.pem", FOLDER + "/key.pem")
        context.minimum_version = context.maximum_version = version
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever).start()


serve(@HTTP@)
serve(@TLS12@, ssl.TLSVersion.TLSv1_2)
serve(@TLS13@, ssl.TLSVersion.TLSv1_3)
