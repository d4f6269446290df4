from api.util.suggestions import nearest

NAMES = ("epochs", "save_every_n_epochs")


def test_slip_is_understood():
    assert nearest("epohcs", NAMES) == "epochs"


def test_what_is_like_none_of_them_is_left_alone():
    assert nearest("zzz", NAMES) is None


def test_likeness_can_be_asked_for():
    assert nearest("epxxhs", NAMES) == "epochs"
    assert nearest("epxxhs", NAMES, likeness=0.85) is None
