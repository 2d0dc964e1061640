"""An upstream on port 8000 that answers every request with the request itself, as JSON."""

from __future__ import annotations

import http.server
import json


class Echo(http.server.BaseHTTPRequestHandler):
    """Tells the path and the headers it was asked with."""

    def do_GET(self) -> None:
        """Answer one request."""
        body = json.dumps({"path": self.path, "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Echo).serve_forever()
