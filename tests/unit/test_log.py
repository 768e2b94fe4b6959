import logging
from pathlib import Path

import pytest

from quantdet.system.log import shown_log, written_log


def test_a_line_is_shown_once_where_the_root_logger_has_a_handler_too(caplog, tmp_path):
    shown = []
    logger = logging.getLogger("quantdet.train")
    with shown_log(shown.append), written_log(tmp_path / "train.log"):
        logger.info("epoch 1")
    assert shown == ["epoch 1"]
    assert caplog.messages == []
    assert (tmp_path / "train.log").read_text().endswith("  epoch 1\n")
    logger.warning("to whoever listens")
    assert caplog.messages == ["to whoever listens"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error_and_no_traceback_of_logging(capsys):
    with pytest.raises(OSError, match="No space left"), written_log(Path("/dev/full")):
        logging.getLogger("quantdet").info("a line")
    assert "Traceback" not in capsys.readouterr().err
