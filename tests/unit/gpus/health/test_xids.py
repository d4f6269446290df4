from api.gpus.health.xids import _TABLE, CATALOGUE, XidClass, _expand, look_up

FATAL = {46, 48, 54, 62, 64, 74, 79, 95, 109, 110, 119, 120, 136, 140, 143, 151, 156, 158, 167, 169, 171, 172, 173}
OF_THE_PROGRAM = {8, 11, 13, 25, 31, 43, 69, 80, 137}


def test_every_xid_up_to_185_is_known():
    assert set(range(1, 186)) - set(CATALOGUE) == set()


def test_no_xid_is_in_two_rows():
    codes = [code for row, _ in _TABLE for code in _expand(row)]
    assert sorted(codes) == sorted(set(codes))


def test_xids_that_make_a_gpu_unhealthy_match_the_catalogue():
    assert {code for code, xid in CATALOGUE.items() if xid.kind is XidClass.FATAL} == FATAL


def test_program_faults_match_the_catalogue():
    assert {code for code, xid in CATALOGUE.items() if xid.kind is XidClass.APPLICATION} == OF_THE_PROGRAM


def test_every_xid_has_a_meaning_and_a_remedy():
    assert [code for code, xid in CATALOGUE.items() if not (xid.meaning and xid.advice)] == []


def test_unknown_xid_is_not_harmless():
    assert look_up(4711).kind is XidClass.DEGRADED
