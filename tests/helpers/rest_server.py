"""Does what TensorFlow Serving's REST interface does: instances to predictions, base64 for names in _bytes.

Serves in a process where an import of this package or of Keras fails.
"""

import base64
import contextlib
import http.server
import json
import subprocess
import sys
import tempfile
import threading


@contextlib.contextmanager
def serving(saved_model):
    """Serves a SavedModel folder; yields the address."""
    with tempfile.TemporaryDirectory() as elsewhere:
        process = subprocess.Popen(
            [sys.executable, __file__, saved_model],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=elsewhere,
        )
        watch = threading.Timer(120, process.kill)
        watch.start()
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            watch.cancel()
            process.kill()
            process.wait()
            process.stdout.close()


def _serve(saved_model):
    sys.modules["keras_resnet"] = sys.modules["keras"] = None
    import tensorflow as tf

    loaded = tf.saved_model.load(saved_model)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            signature = loaded.signatures[request.get("signature_name", "serving_default")]
            (name,) = signature.structured_input_signature[1]
            values = [value[name] if isinstance(value, dict) else value for value in request["instances"]]
            if name.endswith("_bytes"):
                values = [base64.b64decode(value["b64"]) for value in values]
            try:
                dtype = signature.structured_input_signature[1][name].dtype
                outputs = signature(**{name: tf.constant(values, dtype)})
                columns = {key: value.numpy().tolist() for key, value in outputs.items()}
                rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
                status, response = 200, {"predictions": rows}
            except tf.errors.InvalidArgumentError as error:
                status, response = 400, {"error": error.message}
            body = json.dumps(response, default=bytes.decode).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _serve(sys.argv[1])
