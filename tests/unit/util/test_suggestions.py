from api.util.suggestions import nearest

NAMES = ("epochs", "save_every_n_epochs")


def test_typo_gets_a_suggestion():
    assert nearest("epohcs", NAMES) == "epochs"


def test_unsimilar_name_gets_none():
    assert nearest("zzz", NAMES) is None


def test_likeness_can_be_set():
    assert nearest("epxxhs", NAMES) == "epochs"
    assert nearest("epxxhs", NAMES, likeness=0.85) is None
