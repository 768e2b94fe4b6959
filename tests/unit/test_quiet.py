"""What libraries say is kept off the terminal; what goes wrong is not."""

from __future__ import annotations

import logging

from quantdet.system.quiet import only_warnings


def test_a_logger_tells_warnings_only_for_a_while(caplog):
    logger = logging.getLogger("chatty")
    logger.setLevel(logging.INFO)
    with only_warnings("chatty"):
        logger.info("Assets written")
        logger.warning("careful")
    logger.info("again")
    assert caplog.messages == ["careful", "again"]


def test_a_logger_that_is_quieter_stays_so():
    logger = logging.getLogger("quiet")
    logger.setLevel(logging.ERROR)
    with only_warnings("quiet"):
        assert logger.level == logging.ERROR
