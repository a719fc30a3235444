"""Tables: what is read, what is learned of it beside scikit-learn, and what is refused."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from jaxcls.data.preparation import Preparation, apply
from jaxcls.data.table_files import read_table
from jaxcls.data.table_kinds import taken
from jaxcls.data.tables import load_table, prepared

RNG = np.random.default_rng(0)
SORTS = ("ash", "beech", "cedar")


def table(num_rows=60, seed=0):
    """Columns of every kind, some values missing, as lists."""
    rng = np.random.default_rng(seed)
    sorts = [SORTS[place % 3] for place in range(num_rows)]
    height = [round(float(rng.normal(SORTS.index(sort) * 5, 1)), 3) for sort in sorts]
    age = [int(each) for each in rng.integers(1, 90, num_rows)]
    soil = [
        ("clay", "sand", "peat, wet")[each] for each in rng.integers(0, 3, num_rows)
    ]
    wild = [bool(each) for each in rng.integers(0, 2, num_rows)]
    for place in range(0, num_rows, 7):
        height[place], soil[place + 1 if place + 1 < num_rows else 0] = None, None
    return {"height": height, "age": age, "soil": soil, "wild": wild, "sort": sorts}


def cell(value):
    if value is None:
        return "NA"
    text = str(value)
    return f'"{text}"' if "," in text or "\n" in text else text


def text_of(columns):
    lines = [",".join(columns)]
    lines += [",".join(map(cell, row)) for row in zip(*columns.values(), strict=True)]
    return "\n".join(lines) + "\n"


@pytest.fixture
def save(tmp_path):
    def write(content, name="own.csv"):
        path = tmp_path / name
        if isinstance(content, dict) and name.endswith(".parquet"):
            parquet.write_table(pa.table(content), path)
        elif isinstance(content, dict):
            path.write_text(text_of(content), encoding="utf-8", newline="")
        else:
            path.write_bytes(
                content if isinstance(content, bytes) else content.encode()
            )
        return path

    return write


def by_scikit_learn(train, other):
    """Features of rows, by scikit-learn's own transformers."""

    def frame(rows):
        numbers = np.array([rows["height"], rows["age"]], float).T
        words = np.array([rows["soil"], list(map(str, rows["wild"]))], object).T
        words[words == None] = "~missing"  # noqa: E711, of each element; sorts last
        return np.concatenate([numbers.astype(object), words], axis=1)

    numbers = make_pipeline(StandardScaler(), SimpleImputer(add_indicator=True))
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    both = ColumnTransformer([("numbers", numbers, [0, 1]), ("words", words, [2, 3])])
    return both.fit(frame(train)).transform(frame(other)).astype(float)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_features_are_those_of_scikit_learn(save, kind):
    train, other = table(60), table(30, seed=1)
    other["soil"][3] = "rock"  # which no training row has
    found = load_table(
        save(train, f"a.{kind}"), "sort", test_path=save(other, f"b.{kind}")
    )
    for part, given in ((found.train, train), (found.test, other)):
        order = np.argsort([SORTS.index(each) for each in given["sort"]], kind="stable")
        want = by_scikit_learn(train, given)[order]
        assert part.features.dtype == np.float32 and want.shape[1] == 9
        np.testing.assert_allclose(part.features, want, rtol=0, atol=1e-6)
    assert found.train.class_names == SORTS
    told = next(note for note in found.notes if "rock" in note)
    assert told.endswith(
        f"b.{kind}: column 'soil' has 'rock' in row 4, which no training row has; that counts as "
        "no category."
    )


def test_what_is_held_out_is_not_learned_from(save):
    path = save(table(90))
    found = load_table(path, "sort", validation_fraction=0.2, seed=3)
    assert [
        len(each.targets) for each in (found.train, found.validation, found.test)
    ] == [
        *(57, 15, 18),
    ]
    numbers = found.train.features[:, 0][found.train.features[:, 2] == 0]
    assert numbers.mean() == pytest.approx(0, abs=1e-6)
    assert numbers.std() == pytest.approx(1, abs=1e-6)
    assert any("18 of 90 rows drawn from seed 3" in note for note in found.notes)
    # Other values in what is held out leave the training features as they are.
    columns = table(90)
    held = {*range(90)} - {*(found.numbers - 1).tolist()}
    assert len(held) == 15 + 18
    for place in held - {place for place in held if columns["height"][place] is None}:
        columns["height"][place] = 1e6
    again = load_table(save(columns, "b.csv"), "sort", validation_fraction=0.2, seed=3)
    np.testing.assert_array_equal(again.train.features, found.train.features)
    assert again.preparation == found.preparation


def test_a_preparation_goes_through_json_to_the_same_bits(save):
    path = save(table())
    found = load_table(path, "sort")
    kept = json.loads(json.dumps(found.preparation.record()))
    again = Preparation.of_record(kept)
    assert again == found.preparation
    columns = taken(read_table(path, again.as_words), again.kinds)
    features, told = prepared(path, again)
    np.testing.assert_array_equal(features, apply(found.preparation, columns))
    assert told == []


DAMAGES = {
    "target": 5,
    "numeric": [{"name": "a", "mean": 1.0, "scale": 0.0, "indicator": True}],
    "categorical": [
        {"name": "a", "categories": [1], "missing": True, "as_words": True}
    ],
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_record_is_refused(name):
    whole = Preparation("y", (), ()).record()
    with pytest.raises(ValueError, match="must hold what was learned of a table"):
        Preparation.of_record(whole | {name: DAMAGES[name]})
    del whole[name]
    with pytest.raises(ValueError, match="must hold what was learned of a table"):
        Preparation.of_record(whole)


TARGETS = {
    "words": (["b", "a"], (0, 1), ("a", "b")),
    "integers": ([7, 3], (3, 7), ("3", "7")),
    "floats": ([10.5, 2.5], (0, 1), ("2.5", "10.5")),
    "booleans": ([True, False], (0, 1), ("False", "True")),
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("classes, labels, names", TARGETS.values(), ids=TARGETS)
def test_targets_become_classes(save, kind, classes, labels, names):
    path = save({"size": list(range(20)), "y": classes * 10}, f"own.{kind}")
    train = load_table(path, "y").train
    assert (train.labels, train.class_names) == (labels, names)
    assert train.targets.tolist() == [0] * 8 + [1] * 8
    first = train.features[0, 0]
    size = load_table(path, "y").columns["size"].values[0]
    assert size % 2 == (1 if names[0] == str(classes[1]) else 0) and first < 0


def test_classes_are_chosen_by_name_in_any_order(save):
    path = save(table())
    train = load_table(path, "sort", classes=("cedar", "ash")).train
    assert train.class_names == ("cedar", "ash") and train.labels == (2, 0)
    assert train.targets.tolist() == [0] * 16 + [1] * 16
    with pytest.raises(ValueError, match=r"among ash beech cedar.* has no oak\.$"):
        load_table(path, "sort", classes=("ash", "oak"))


def test_what_the_user_says_of_columns_counts(save):
    columns = table() | {
        "year": [2001 + i % 2 for i in range(60)],
        "id": list("ab") * 30,
    }
    columns["id"] = [f"tree-{i}" for i in range(60)]
    path = save(columns)
    with pytest.raises(ValueError, match=r"'id' has another value in each of 60 rows"):
        load_table(path, "sort")
    found = load_table(
        path, "sort", drop=["id"], categorical=["year"], numeric=["wild"]
    ).preparation
    assert [each.name for each in found.numeric] == ["height", "age", "wild"]
    assert found.categorical[-1].categories == ("2001", "2002")
    assert not found.categorical[-1].as_words
    # Categories that are numbers are the same, however they are written.
    columns["year"] = [f"{each}.0" for each in columns["year"]]
    other = save(columns, "b.csv")
    np.testing.assert_array_equal(prepared(other, found)[0], prepared(path, found)[0])


def test_words_that_look_like_numbers_stay_words(save):
    columns = {"code": ["007", "7", "A1", "A1", "B2"] * 4, "y": ["a", "b"] * 10}
    found = load_table(save(columns), "y").preparation
    assert found.categorical[0].categories == ("007", "7", "A1", "B2")
    features, told = prepared(save("code\n007\n7\n"), found)
    assert features.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]] and told == []


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_quoted_line_breaks_blank_lines_and_a_byte_order_mark(save, end):
    lines = ["\ufeffsize, kind ,y", "", '1,"on\ntwo",a', "2, one ,b", ""] * 1
    lines += ['3,"on\ntwo",a', "4,one,b", "5,one,a", "6,one,b", "", ""]
    found = load_table(
        save(end.join(lines)), "y", test_path=save(end.join(lines), "t.csv")
    )
    assert found.preparation.categorical[0].categories == ("on\ntwo", "one")
    assert found.train.features.shape == (6, 3)


def test_constant_and_empty_columns_are_left_out_and_said(save):
    columns = table() | {"same": [4] * 60, "none": [None] * 60, "one": ["x"] * 60}
    found = load_table(save(columns), "sort")
    assert {"same", "none", "one"}.isdisjoint(found.preparation.kinds)
    assert any("'same', 'none', 'one'." in note for note in found.notes)


def test_rows_without_a_class_are_left_out_and_said(save):
    columns = table()
    columns["sort"][4] = columns["sort"][9] = None
    found = load_table(save(columns), "sort")
    assert sum(len(each.targets) for each in (found.train, found.test)) == 58
    assert any("left out: rows 5 and 10." in note for note in found.notes)


def test_a_column_that_counts_the_rows_is_said(save):
    path = save({"id": list(range(1, 61)), **table()})
    (told,) = (each for each in load_table(path, "sort").notes if "'id'" in each)
    assert "column 'id' counts the rows, as an identifier does" in told
    assert not any(
        "'id'" in note for note in load_table(path, "sort", drop=["id"]).notes
    )
    kept = load_table(path, "sort", numeric=["id"])
    assert not any("counts the rows" in note for note in kept.notes)


@pytest.mark.parametrize("line", ["", "   ", "\t"])
def test_empty_lines_are_no_rows(save, line):
    found = read_table(save(f"x,y\n1,a\n{line}\n2,b\n{line}\n"))
    np.testing.assert_array_equal(found.columns["x"].values, [1, 2])


@pytest.mark.slow
def test_ten_thousand_columns(save):
    columns = {f"c{i}": RNG.normal(size=12).round(3).tolist() for i in range(10_000)}
    found = load_table(save(columns | {"y": ["a", "b"] * 6}), "y")
    assert found.train.features.shape == (10, 10_000)


SMALL = {"size": list(range(12)), "y": ["a", "b"] * 6}


def with_column(values):
    return SMALL | {"x": values}


BAD = {
    "wrong target": (
        with_column([1] * 12),
        {"target": "z"},
        "no column 'z' to be the ta.*'y'",
    ),
    "unknown drop": (
        SMALL,
        {"drop": ["z"]},
        "'z', which --drop names; it has 'size', 'y'",
    ),
    "named twice": (
        SMALL,
        {"drop": ["size"], "numeric": ["size"]},
        "by --numeric and by --dr",
    ),
    "target dropped": (SMALL, {"drop": ["y"]}, "by --target and by --drop"),
    "nothing left": (SMALL, {"drop": ["size"]}, "no column to learn from"),
    "one class": (SMALL | {"y": ["a"] * 12}, {}, "one class, 'a', and two or more"),
    "no class": (SMALL | {"y": [None] * 12}, {}, "is empty in every row"),
    "too many classes": (SMALL | {"y": list(range(12))}, {}, "12 classes in 12 rows"),
    "a class of one row": (SMALL | {"y": ["a"] * 11 + ["b"]}, {}, "1 row of class 'b'"),
    "all alike": (SMALL | {"size": [1] * 12}, {}, "all training rows are alike"),
    "dates": (with_column([f"2020-01-{i + 10}" for i in range(12)]), {}, "holds dates"),
    "text": (
        with_column([f"the tree number {i} is old" for i in range(12)]),
        {},
        "holds free text",
    ),
    "identifier": (
        with_column([f"id{i}" for i in range(12)]),
        {},
        "another value in each of 12",
    ),
    "thousands": (
        with_column(["1,234"] * 3 + ["5"] * 9),
        {},
        "write 1234.5 for 1,234.5",
    ),
    "numbers with more than digits, all at once": (
        SMALL
        | {"pay": ["1.234,5", "7"] * 6, "won": ["42%"] * 12, "due": ["$5"] * 12}
        | {"lost": ["42%"] * 12, "seen": ["5%"] * 12, "grown": ["4,5"] * 12},
        {"drop": ["seen"], "categorical": ["grown"]},
        r"columns 'pay', 'won', 'due', 'lost' hold numbers that are written with more than digits, "
        r"such as '1.234,5', '42%', '\$5'; write 1234.5 for 1,234.5 or 1234,5, 42 for 42%, 5 for \$5, or "
        "name them with --drop, or with --categorical if they are categories.$",
    ),
    "percent signs": (
        with_column(["42%", "12.5%"] * 6),
        {},
        "column 'x' holds numbers that are written with more than digits, such as '42%'; write 42 "
        "for 42%, or name it with --drop, or with --categorical if they are categories.$",
    ),
    "another type": (
        with_column([1.5] * 11 + ["six"]),
        {},
        "row 12 has 'six'; correct it",
    ),
    "not numbers": (with_column(["a", "b"] * 6), {"numeric": ["x"]}, "row 1 has 'a'"),
    "infinite": (with_column(["inf"] * 2 + [1] * 10), {}, "row 1 has inf"),
    "huge": (with_column([1] * 11 + [1e200]), {}, r"row 12 has 1e\+200"),
    "infinite class": (SMALL | {"y": [1.0, "inf"] * 6}, {}, "row 2 has an infinite"),
    "twice": ("x,x,y\n1,2,a\n", {}, "has column 'x' twice"),
    "header again": ("x,y\n1,a\nx,y\n2,b\n", {}, "row 2 is the header again"),
    "no name": ("x,,y\n1,2,a\n", {}, "column 2 has no name"),
    "no header": ("1,2,3\n4,5,6\n", {}, "has no header"),
    "semicolons": ("x;y\n1;a\n", {}, "parted by ';', and commas are wanted"),
    "tabs": ("x\ty\n1\ta\n", {}, "and commas are wanted"),
    "uneven": (
        "x,y\n1,a\n2\n",
        {},
        "row 2 has 1 value, and the header names 2 columns",
    ),
    "a title above": (
        "My trees\nx,y\n1,a\n",
        {},
        r"header names 1 column \('x,y'\); take out a first line that is no header",
    ),
    "another type in most rows": (
        SMALL
        | {
            "x": [*range(12), *["n/k"] * 30],
            "size": [*range(42)],
            "y": ["a", "b"] * 21,
        },
        {},
        "row 13 has 'n/k'; correct it",
    ),
    "decimal commas": (
        with_column(["0,5"] * 12),
        {},
        "write 1234.5 for 1,234.5 or 1234,5",
    ),
    "open quote": ('x,y\n1,"a\n2,b\n', {}, "opened and never closed"),
    "latin-1": (
        "x,y\n1,é\n".encode("latin1"),
        {},
        r"line 2 is not UTF-8 \(byte 0xe9\)",
    ),
    "utf-16": ("x,y\n1,a\n".encode("utf-16"), {}, "written in UTF-16"),
    "utf-16 without a mark": (
        "x,y\n1,a\n".encode("utf-16-le"),
        {},
        "written in UTF-16",
    ),
    "no text": (b"x,y\n1,\0\n", {}, "bytes of 0"),
    "nothing": (b"", {}, "is empty; a table has a header"),
    "blank": (b"\n\n", {}, "is empty; a table has a header"),
    "no rows": ("x,y\n", {}, "holds no rows"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0", {}, "it is no .csv file"),
}


def test_a_frame_is_no_path():
    frame = pd.DataFrame({"size": [1.0, 2.0], "sort": ["a", "b"]})
    with pytest.raises(TypeError, match="got DataFrame; write a frame by"):
        load_table(frame, "sort")


@pytest.mark.parametrize("content, flags, message", BAD.values(), ids=BAD)
def test_what_is_wrong_is_said_in_a_sentence(save, content, flags, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_table(save(content), **({"target": "y"} | flags))
    said = str(caught.value)
    assert "own.csv" in said and said.endswith(".") and said.isprintable()
    assert len(said) < 500


def test_other_files_are_refused(save, tmp_path):
    for content in (b"", b"PAR1", b"x,y\n1,a\n"):
        with pytest.raises(
            ValueError, match=r"own\.parquet: as a \.parquet file it can't be"
        ):
            read_table(save(content, "own.parquet"))
    with pytest.raises(ValueError, match="there is no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="a folder, not a table"):
        (tmp_path / "folder.csv").mkdir()
        read_table(tmp_path / "folder.csv")
    lists = {"a": [[1], [2]] * 6, "y": ["a", "b"] * 6}
    with pytest.raises(ValueError, match=r"'a' holds list<.*neither numbers nor words"):
        load_table(save(lists, "own.parquet"), "y")
    assert load_table(
        save(lists | {"b": list(range(12))}, "own.parquet"), "y", drop=["a"]
    ).preparation.numeric


def test_parquet_dates_and_dictionaries(save):
    days = np.arange("2020-01-01", "2020-01-13", dtype="datetime64[D]")
    path = save(SMALL | {"when": pa.array(days)}, "own.parquet")
    with pytest.raises(
        ValueError, match=r"'when' holds dates or times, such as '2020-01"
    ):
        load_table(path, "y")
    for words in (["1", "2"] * 6, pa.array(range(12), pa.duration("s"))):
        path = save(SMALL | {"x": words}, "own.parquet")
        with pytest.raises(ValueError, match="numbers that are written as words, such"):
            load_table(path, "y")
        assert load_table(path, "y", numeric=["x"]).preparation.num_features == 2
        assert load_table(path, "y", categorical=["x"]).preparation.categorical
    words = pa.array(["u", "v", None] * 4).dictionary_encode()
    path = save(SMALL | {"x": words}, "own.parquet")
    (learned,) = load_table(path, "y", test_path=path).preparation.categorical
    assert learned.categories == ("u", "v") and learned.missing


def test_what_lacks_or_surprises_in_a_new_file_is_told(save):
    found = load_table(save(table()), "sort").preparation
    with pytest.raises(ValueError, match=r"lacks columns 'age', 'wild', which the run"):
        prepared(save("height,soil,more\n1,clay,2\n", "new.csv"), found)
    text = "soil,age,height,wild\nclay,4,,True\nmud,,2,False\nsilt,3,1,\n"
    features, told = prepared(save(text, "new.csv"), found)
    assert features.shape == (3, found.num_features)
    assert [each.split("new.csv: ")[1] for each in told] == [
        "column 'age' is empty in row 2, as in no training row; the mean is taken.",
        "column 'soil' has 'mud', 'silt' in rows 2 and 3, which no training row has; that counts "
        "as no category.",
        "column 'wild' is empty in row 3, as in no training row; that counts as no category.",
    ]
    with pytest.raises(
        ValueError, match=r"'age' must hold numbers, and row 1 has 'old'"
    ):
        prepared(save("height,age,soil,wild\n1,old,clay,True\n", "new.csv"), found)
    with pytest.raises(ValueError, match="too far from the training rows' mean"):
        prepared(save("height,age,soil,wild\n1e60,3,clay,True\n", "new.csv"), found)


def test_a_test_file_must_have_the_target_and_its_classes(save):
    path, other = save(table()), table(30, seed=1)
    del other["sort"]
    with pytest.raises(ValueError, match="no column 'sort', the target"):
        load_table(path, "sort", test_path=save(other, "t.csv"))
    with pytest.raises(ValueError, match="no rows of class 'cedar'"):
        load_table(
            path,
            "sort",
            test_path=save(other | {"sort": ["ash", "beech"] * 15}, "t.csv"),
        )
    sorts = ["ash", "beech", "cedar", "oak", "ash"] * 6
    with pytest.raises(ValueError, match="has 'oak', which no training row has"):
        load_table(path, "sort", test_path=save(other | {"sort": sorts}, "t.csv"))


@pytest.mark.parametrize(
    "drop, most", [((), ", such as 'soil' of 3"), (("soil", "wild"), "")]
)
def test_features_that_would_be_too_large_are_refused(save, monkeypatch, drop, most):
    path = save(table())
    monkeypatch.setattr("jaxcls.data.tables._LARGEST", 500)
    with pytest.raises(ValueError, match=rf"60 rows of .* --drop columns{most}"):
        load_table(path, "sort", drop=drop)


def test_importing_tables_does_not_import_pyarrow():
    code = "import sys, jaxcls, jaxcls.data.tables; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_numbers_are_standardised_by_the_training_rows(tmp_path):
    path = tmp_path / "own.csv"
    rng = np.random.default_rng(0)
    values = 1e6 + 3 * rng.normal(size=60)
    rows = [f"{i % 7},{value:.4f}" for i, value in enumerate(values)]
    path.write_text("\n".join(["a,y", *rows, "1,"]))
    found = load_table(path, "y", regression=True, validation_fraction=0.2, seed=3)
    parts = (found.train, found.validation, found.test)
    assert [len(part.targets) for part in parts] == [38, 10, 12]
    assert any("without a 'y' and left out: row 61" in note for note in found.notes)
    own = np.round(values, 4)[found.numbers - 1]
    target = found.train.target
    assert target.mean == pytest.approx(own.mean(), rel=1e-12)
    assert target.scale == pytest.approx(own.std(), rel=1e-9)
    assert found.train.targets.dtype == np.float32 and found.train.labels == ()
    np.testing.assert_allclose(
        found.train.targets, (own - own.mean()) / own.std(), atol=1e-6
    )
    together = np.concatenate([part.targets for part in parts])
    np.testing.assert_allclose(
        np.sort(together),
        np.sort((np.round(values, 4) - own.mean()) / own.std()),
        atol=1e-5,
    )


def test_many_classes_of_numbers_say_how_to_predict_them(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("\n".join(["a,y", *(f"{i},{i + 0.5}" for i in range(30))]))
    with pytest.raises(ValueError, match="predict numbers as numbers by train_regr"):
        load_table(path, "y")
