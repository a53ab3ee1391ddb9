"""Explain a model behind HTTP: a batch of PNG files out, probabilities as JSON back."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
from PIL import Image

import deap_xai as dx
from deap_xai.backends import load_backend
from deap_xai.demo import CLASS_NAMES, SIZE, creature

network = load_backend("demo")  # what stands behind the server; the client never sees it


class Handler(BaseHTTPRequestHandler):
    """A server that answers pictures with probabilities, and every fifth request with "wait"."""

    asked = 0

    def do_POST(self):
        """Answer one batch."""
        files = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Handler.asked += 1
        busy = Handler.asked % 5 == 0
        images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(file)))) for file in files]
        answer = [] if busy else network.predict(np.stack(images)).tolist()
        self.send_response(429 if busy else 200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *args):
        """Keep quiet."""


def png(image):
    """A picture as the text of a PNG file in base 64."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


def predict(images, wait=0.1):
    """Images (N, h, w, 3), uint8, to probabilities (N, classes), from the server."""
    request = Request(address, json.dumps([png(image) for image in images]).encode())
    try:
        with urlopen(request, timeout=10) as answer:
            return np.array(json.load(answer))
    except (HTTPError, TimeoutError) as error:
        if wait > 5 or getattr(error, "code", 429) not in (429, 503):
            raise  # waiting longer won't help
    time.sleep(wait)
    return predict(images, 2 * wait)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)  # 0: any free port
address = f"http://127.0.0.1:{server.server_port}/"
threading.Thread(target=server.serve_forever, daemon=True).start()

# A web API charges by the call: a small budget, and a batch a request.
explainer = dx.Explainer(predict, size=SIZE, class_names=CLASS_NAMES, batch_size=16, budget=80)
print(explainer.explain(creature(seed=10_003).image))
print(f"{Handler.asked} requests, {Handler.asked // 5} of them asked to wait")
server.shutdown()
server.server_close()
