"""front.question: a question to the person at the notebook."""

from __future__ import annotations

from front.reception import FAILED, RUN, Client, Reception, id_of


def asked(reception: Reception) -> list[str]:
    """The cells that have a field for an answer."""
    return [
        str(msg["parent_header"]["msg_id"])
        for target, msg in reception.seen()
        if (target, msg["msg_type"]) == ("stdin", "input_request")
    ]


def test_a_question_is_asked_in_the_first_cell(
    reception: Reception, client: Client
) -> None:
    """Of each client, now and later; and again if the answer does not do."""
    answers: list[str] = []
    first, _ = client.ask(allow_stdin=True), client.ask(allow_stdin=True)
    reception.standin.ask("these are there", "which?", answers.append)
    other = Client(reception, "two")
    theirs = other.ask(allow_stdin=True)
    assert [id_of(first), id_of(theirs)] == asked(reception)
    (prompt,) = (msg["content"]["prompt"] for msg in reception.answers(first))
    assert "these are there\nwhich? " == prompt

    client.ask("input_reply", "stdin", value="7")
    assert ["7"] == answers
    reception.standin.ask("no, these", "which?", answers.append)
    assert "no, these" in reception.answers(theirs)[-1]["content"]["prompt"]
    assert 2 == asked(reception).count(id_of(theirs))

    other.ask("input_reply", "stdin", value="8")
    reception.standin.stop_asking()
    assert ["7", "8"] == answers
    late = Client(reception, "three").ask(allow_stdin=True)
    assert id_of(late) not in asked(reception)
    assert 4 == len(reception.standin.hand_over())
    assert "clear_output" == reception.fate(first)[-1]


def test_a_client_whose_socket_for_answers_comes_last(
    reception: Reception, client: Client
) -> None:
    """What is sent there before that is lost."""
    reception.is_reached = False
    reception.standin.ask("these are there", "which?", lambda answer: None)
    cell = client.ask(allow_stdin=True)
    assert [] == asked(reception)

    due, reception.due = reception.due, None
    reception.is_reached = True
    assert due is not None
    due.call()

    assert [id_of(cell)] == asked(reception)


def test_who_cannot_be_asked(reception: Reception, client: Client) -> None:
    """A program hears what there is to choose from; its cell fails."""
    reception.standin.ask("these are there", "which?", lambda answer: None)

    cell = client.ask(allow_stdin=False)

    assert FAILED == reception.fate(cell)
    assert "these are there" == reception.answers(cell)[2]["content"]["evalue"]
    assert [] == asked(reception)
    assert [] == reception.standin.hand_over()


def test_a_question_that_was_answered_meanwhile(
    reception: Reception, client: Client
) -> None:
    """A client whose socket for answers comes later is not asked any more."""
    reception.is_reached = False
    reception.standin.ask("these are there", "which?", lambda answer: None)
    client.ask(allow_stdin=True)
    due, reception.due = reception.due, None
    reception.is_reached = True
    reception.standin.stop_asking()

    assert due is not None
    due.call()

    assert [] == asked(reception)


def test_a_cell_that_nobody_sent(reception: Reception, client: Client) -> None:
    """A file that a server left may hold one without an address: nobody is asked."""
    message = client.session.msg(RUN, {"allow_stdin": True})
    reception.standin.restore([("shell", client.session.serialize(message))])

    reception.standin.ask("these are there", "which?", lambda answer: None)

    assert [] == asked(reception)
    assert reception.due is None
