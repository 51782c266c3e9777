"""The table of time and memory against pixels, on photos that are tiny."""

import pytest
from PIL import Image

from benchmarks import predict_large
from benchmarks.predict_large import Cost
from segnet_tf.inference.model_file import SHIPPED_MODEL

MODEL = str(SHIPPED_MODEL.with_name("segnet_lite_synthetic"))


def test_photos_have_their_size(tmp_path):
    predict_large.draw_photo(tmp_path / "a.jpg", 0.3)
    with Image.open(tmp_path / "a.jpg") as photo:
        assert photo.size == (632, 474)
    cost = predict_large.network_alone(tmp_path / "a.jpg", MODEL)
    assert 0 < cost.seconds < 60 and 0 < cost.cpu < 60


def test_slopes(capsys):
    sizes = [1.0, 4.0, 16.0]
    rows = [
        [Cost(9, x), Cost(9, 2 * x + 5, x / 1024), Cost(9, 3 * x, 0.5 + x / 512)]
        for x in sizes
    ]
    predict_large.print_slopes(sizes, rows)
    assert capsys.readouterr().out == (
        "\na megapixel more: network alone 1.00 CPU s; labels 2.00 CPU s and 1.0 MiB; "
        "labels,overlay 3.00 CPU s and 2.0 MiB\n"
    )


@pytest.mark.slow
def test_a_row_of_the_table(tmp_path, capsys):
    row = predict_large.measured(tmp_path, 0.3, MODEL)
    cells = capsys.readouterr().out.strip(" |\n").split(" | ")
    assert cells[0] == "0.3" and len(cells) == 8
    network, *others = row
    for cost in others:
        assert cost.cpu > network.cpu and 0.05 < cost.memory < 2
