"""A library is quiet: its first call prints nothing, and a user's own TensorFlow stays his own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(script: str, *words: object) -> subprocess.CompletedProcess[str]:
    # As a user's shell has it, which sets nothing of TensorFlow's.
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize(
    "call",
    [
        "load_backbone('efficientnet_lite0')",
        # Keras takes matplotlib when its first gallery is drawn, not when it is imported itself.
        "build_head(8, 3); assert 'matplotlib' not in sys.modules; import keras, numpy;"
        " keras.visualization.plot_image_gallery(numpy.zeros((2, 8, 8, 3)), value_range=(0, 255),"
        " rows=1, cols=2, path=sys.argv[4] + '/gallery.png'); open(sys.argv[4] + '/gallery.png')",
        "load_classifier(sys.argv[1]).predict([sys.argv[3]])",
        "inspect_model(sys.argv[1])",
        "evaluate(model=sys.argv[1], image_dir=sys.argv[2], verbose=0);"
        " xferlearn.train(image_dir=sys.argv[2], model_dir=sys.argv[4] + '/model', verbose=0,"
        " logs_dir=sys.argv[4] + '/logs', backbone='mobilenet_0.25', weights='none',"
        " image_size=32, how_many_training_steps=20)",
    ],
)
def test_the_first_line_of_a_program_prints_nothing(call, colour_model, photo_dir, tmp_path):
    photo = next(photo_dir.glob("red/*"))
    done = run(f"import sys, xferlearn; xferlearn.{call}", colour_model, photo_dir, photo, tmp_path)
    assert (done.stdout, done.stderr) == ("", "")


def test_other_threads_may_import_matplotlib_while_keras_is_imported():
    script = """
import importlib.machinery, sys, threading
import xferlearn

begun, imported = threading.Event(), threading.Event()

def other():
    begun.wait()
    import matplotlib.cbook
    imported.set()

class Waiting:
    def find_spec(self, name, path=None, target=None):
        if name != "keras.src":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def wait(module):
            begun.set()
            print(imported.wait(60))
            execute(module)

        spec.loader.exec_module = wait
        return spec

sys.meta_path.insert(0, Waiting())
threading.Thread(target=other, daemon=True).start()
xferlearn.build_head(8, 3)
import keras
print(keras.src.visualization.plot_image_gallery.plt.imread.__name__)
"""
    assert run(script).stdout == "True\nimread\n"


def test_messages_of_a_tensorflow_that_was_imported_before_stay_as_they_are():
    script = """
import logging, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "1"
import tensorflow as tf
tf.get_logger().setLevel(logging.INFO)
import xferlearn
xferlearn.build_head(8, 3)
tf.get_logger().info("mine")
print(os.environ["TF_CPP_MIN_LOG_LEVEL"], tf.get_logger().level == logging.INFO)
"""
    done = run(script)
    assert done.stdout == "1 True\n"
    assert "mine" in done.stderr


def test_many_heads_bring_no_warnings_of_retracing(photo_dir, tmp_path):
    script = """
import sys
import tensorflow as tf
import xferlearn
folder = sys.argv[2]
xferlearn.sweep(image_dir=sys.argv[1], logs_dir=folder + "/logs", bottleneck_dir=folder + "/cache",
                backbone="mobilenet_0.25", image_size="32", weights="none", verbose=0,
                engine="tensorflow", precision="float32", how_many_training_steps="20",
                seed="0,1,2,3,4")
"""
    assert "retracing" not in run(script, photo_dir, tmp_path).stderr
