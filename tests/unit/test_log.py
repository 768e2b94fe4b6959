import logging

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
