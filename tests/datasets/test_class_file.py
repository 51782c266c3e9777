"""Class lists as people and programs write them: read as they are meant, or refused."""

import time

import numpy as np
import pytest

from segnet_tf.datasets.class_file import parsed_classes, read_classes
from segnet_tf.datasets.class_list import UNLISTED, default_colours
from segnet_tf.errors import UserError

RED, BLUE = (255, 0, 0), (0, 0, 255)

# Text -> for each class its name, id and colour; then the ids and colours of void.
READ = {
    "names": ("ground\ncar\n", [("ground", 0), ("car", 1)], []),
    "void in the middle keeps its id": (
        "Road\nVoid\nWall\n", [("Road", 0), ("Wall", 2)], [(1, None)],
    ),
    "void first": ("Unlabelled\nroad\n", [("road", 1)], [(0, None)]),
    "void with a colour": (
        "a 255 0 0\nvoid 9 9 9\nb 0 0 255\n",
        [("a", 0, RED), ("b", 2, BLUE)], [(1, (9, 9, 9))],
    ),
    "ids": ("0 ground\n1 car\n", [("ground", 0), ("car", 1)], []),
    "ids and colons": (
        "0: ground\n1: car\n255: void\n", [("ground", 0), ("car", 1)], [(255, None)],
    ),
    "ids and dashes": ("0 - ground\n1 - car\n", [("ground", 0), ("car", 1)], []),
    "ids from 1": ("1 leaf\n2 stem\n", [("leaf", 1), ("stem", 2)], []),
    "ids in any order": ("26 car\n7 road\n", [("car", 26), ("road", 7)], []),
    "ids of black and white": ("0 sky\n255 tree\n", [("sky", 0), ("tree", 255)], []),
    "ids and a void without one": (
        "0 a 255 0 0\n1 b 0 0 255\nvoid 9 9 9\n",
        [("a", 0, RED), ("b", 1, BLUE)], [(None, (9, 9, 9))],
    ),
    "ids behind": ("road 0\nwall 1\n", [("road", 0), ("wall", 1)], []),
    "numbers behind that are names": (
        "lane 1\nlane 2\n", [("lane 1", 0), ("lane 2", 1)], [],
    ),
    "ids and colours": (
        "0 a 255 0 0\n1 b 0 0 255\n", [("a", 0, RED), ("b", 1, BLUE)], [],
    ),
    "commas": ("0,a,255,0,0\n1,b,0,0,255\n", [("a", 0, RED), ("b", 1, BLUE)], []),
    "hex": ("a #ff0000\nb #0000FF\n", [("a", 0, RED), ("b", 1, BLUE)], []),
    "colours first": (
        "255 0 0\tAnimal\n0 0 255\tvoid\n", [("Animal", 0, RED)], [(1, BLUE)],
    ),
    "ids and colours first": (
        "3 255 0 0 a\n4 0 0 255 b\n", [("a", 3, RED), ("b", 4, BLUE)], [],
    ),
    "Kaggle": (
        " name, r, g, b \nAnimal,255, 0,0\nVoid,0,0,255\n",
        [("Animal", 0, RED)], [(1, BLUE)],
    ),
    "Roboflow": (
        "Pixel Value, Class\n0, background\n1, crack\n",
        [("background", 0), ("crack", 1)], [],
    ),
    "CVAT": (
        "# label:color_rgb:parts:actions\na:255,0,0::\nb:0,0,255::\n",
        [("a", 0, RED), ("b", 1, BLUE)], [],
    ),
    "quotes": (
        'id,name\n0,"lane, dashed"\n1,"say ""stop"""\n',
        [("lane, dashed", 0), ('say "stop"', 1)], [],
    ),
    "columns that nobody needs": (
        "Idx,Ratio,Stuff,Name\n1,0.15,1,wall\n2,0.1,0,tree\n",
        [("wall", 1), ("tree", 2)], [],
    ),
    "columns in any order": (
        "b;g;r;name\n0;0;255;a\n255;0;0;b\n", [("a", 0, RED), ("b", 1, BLUE)], [],
    ),
    "hex in a table": (
        "name\thex\na b\tff0000\nc\t#0000ff\n", [("a b", 0, RED), ("c", 1, BLUE)], [],
    ),
    "a separator in a name": (
        "traffic light: red\nlane, dashed\n",
        [("traffic light: red", 0), ("lane, dashed", 1)], [],
    ),
    "a separator in a name with a colour": (
        "lane, dashed 255 0 0\nb, 0 0 255\n",
        [("lane, dashed", 0, RED), ("b", 1, BLUE)], [],
    ),
    "comments": ("a # low\nb\t#all\n  # end\n", [("a", 0), ("b", 1)], []),
    "comments behind colours": (
        "a 255 0 0 # red\nb #0000ff # blue\n", [("a", 0, RED), ("b", 1, BLUE)], [],
    ),
    "names that begin with a number": (
        "car\n2 wheeler\n255: void\n", [("car", 0), ("2 wheeler", 1)], [(255, None)],
    ),
    "names that are numbers": ("7\n4\n", [("7", 0), ("4", 1)], []),
    "a # in a name": ("C#\n#one hit\nF#\n", [("C#", 0), ("F#", 1)], []),
    "a byte-order mark and Windows": (
        "\ufeffa\r\nb\r\n", [("a", 0), ("b", 1)], [],
    ),
    "a heading with spaces": ("id name\n2 a\n0 b\n", [("a", 2), ("b", 0)], []),
    "a heading in another language": (
        "ID;Klasse\n1;a\n0;b, c\n", [("a", 1), ("b, c", 0)], [],
    ),
    "a comment before the heading": (
        "# ours\nid,name\n1,a\n0,b\n", [("a", 1), ("b", 0)], [],
    ),
    "Excel's separator": ("sep=;\nid;name\n1;a\n0;b\n", [("a", 1), ("b", 0)], []),
    "a void of -1": ("-1 void\n0 a\n1 b\n", [("a", 0), ("b", 1)], [(None, None)]),
    "bars": ("2|a\n0|b\n", [("a", 2), ("b", 0)], []),
    "dashes": ("2-a\n0-b\n", [("a", 2), ("b", 0)], []),
    "brackets": ("[2] a\n[0] b\n", [("a", 2), ("b", 0)], []),
    "brackets behind": ("a (2)\nb (0)\n", [("a", 2), ("b", 0)], []),
    "ids behind and a void without one": (
        "a 1\nb 0\nvoid\n", [("a", 1), ("b", 0)], [(None, None)],
    ),
    "colours in brackets": (
        "a (255,0,0)\nb rgb(0, 0, 255)\n", [("a", 0, RED), ("b", 1, BLUE)], [],
    ),
    "hex in brackets": (
        "a (#ff0000)\nb [#0000ff]\n", [("a", 0, RED), ("b", 1, BLUE)], [],
    ),
    "hex first": ("#ff0000 a\n#0000ff b\n", [("a", 0, RED), ("b", 1, BLUE)], []),
    "colons": ("a:255:0:0\nb:0:0:255\n", [("a", 0, RED), ("b", 1, BLUE)], []),
    "a quoted colour": ('a,"255,0,0"\nb,"0,0,255"\n',
                        [("a", 0, RED), ("b", 1, BLUE)], []),
    "everything quoted": ('"1","a"\n"0","b"\n', [("a", 1), ("b", 0)], []),
    "bullets": ("- a\n- b\n", [("a", 0), ("b", 1)], []),
    "two voids of one colour": (
        "a 255 0 0\nvoid 9 9 9\nignore 9 9 9\n",
        [("a", 0, RED)], [(1, (9, 9, 9)), (2, (9, 9, 9))],
    ),
    "a heading with spaces, and columns in its order": (
        "b g r class\n0 0 255 a, b\n255 0 0 c\n",
        [("a, b", 0, RED), ("c", 1, BLUE)], [],
    ),
    "a heading with spaces in a comment": (
        "# ours\n# b g r name\n0 0 255 a\n255 0 0 b # low\n",
        [("a", 0, RED), ("b", 1, BLUE)], [],
    ),
    "a comment that is no heading": ("# no label\na\nb\n", [("a", 0), ("b", 1)], []),
    "numbers before some of the colours": (
        "road 9 9 9\nlane 1 255 0 0\nlane 2 0 0 255\n",
        [("road", 0, (9, 9, 9)), ("lane 1", 1, RED), ("lane 2", 2, BLUE)], [],
    ),
    "numbers before hex colours": (
        "lane 1 #ff0000\nlane 2 #0000ff\n",
        [("lane 1", 0, RED), ("lane 2", 1, BLUE)], [],
    ),
    "a heading that would be a class without ids": (
        "no label\n1 leaf\n0 spot\n", [("leaf", 1), ("spot", 0)], [],
    ),
    "a colour of hex before names in a table": (
        "hex,name\n#ff0000,a\n#0000ff,b\n#end\n", [("a", 0, RED), ("b", 1, BLUE)], [],
    ),
    "ids behind dashes": (
        "leaf - 1\nsoil - 0\nvoid - 255\n", [("leaf", 1), ("soil", 0)], [(255, None)],
    ),
    "ids behind and before arrows": (
        "leaf -> 1\nsoil => 0\n", [("leaf", 1), ("soil", 0)], [],
    ),
    "ids before arrows": ("1 -> leaf\n0->soil\n", [("leaf", 1), ("soil", 0)], []),
    "equals signs": ("leaf=1\nsoil = 0\n", [("leaf", 1), ("soil", 0)], []),
    "equals signs before ids": ("1=leaf\n0 = soil\n", [("leaf", 1), ("soil", 0)], []),
    "equals signs before colours": (
        "a=255,0,0\nb = 0 0 255\n", [("a", 0, RED), ("b", 1, BLUE)], [],
    ),
    "single quotes": ("'leaf': 1\n'soil': 0\n", [
        ("leaf", 1), ("soil", 0)], []),
    "apostrophes": (
        "farmer's\nkids' toys\n", [("farmer's", 0), ("kids' toys", 1)], [],
    ),
    "leading zeros": ("leaf 01\nsoil 00\n", [("leaf", 1), ("soil", 0)], []),
    "two texts and an id": (
        "1,leaf,plant\n0,soil,other\n", [("leaf,plant", 1), ("soil,other", 0)], [],
    ),
    "a void with its id among names": (
        "ground\ncar\nvoid 255\n", [("ground", 0), ("car", 1)], [(255, None)],
    ),
    "a void with its id below names with numbers": (
        "lane 1\nlane 2\nvoid - 255\n", [("lane 1", 0), ("lane 2", 1)], [(255, None)],
    ),
    "numbers that are the places": (
        "Class 0\nClass 1\nClass 2\n",
        [("Class 0", 0), ("Class 1", 1), ("Class 2", 2)], [],
    ),
    "numbers that are the places, without names": ("0\n1\n", [("0", 0), ("1", 1)], []),
    "numbers at names": (
        "leaf1\nspot2\nroad3\n", [("leaf1", 0), ("spot2", 1), ("road3", 2)], [],
    ),
    "numbers too high to be ids": (
        "A320\nB52\n", [("A320", 0), ("B52", 1)], [],
    ),
    "numbers behind ids and names": (
        "1 lane 1\n0 lane 2\n", [("lane 1", 1), ("lane 2", 0)], [],
    ),
    "one name of many with a number": (
        "car\nRoute 66\nbus\n", [("car", 0), ("Route 66", 1), ("bus", 2)], [],
    ),
    "titles with ids": (
        "0 no label\n1 class A\n", [("no label", 0), ("class A", 1)], [],
    ),
    "a title's word in several names": (
        "pink label\nblack label\n", [("pink label", 0), ("black label", 1)], [],
    ),
    "colours as names": ("red\ngreen\n", [("red", 0), ("green", 1)], []),
    "signs in a table": (
        "id,name\n0,% of leaves\n1,<5 m\n", [("% of leaves", 0), ("<5 m", 1)], [],
    ),
    "numbers on the right": (
        " 9 a\n10 b\n", [("a", 9), ("b", 10)], [],
    ),
    "a slip of a space": ("a\n b\n", [("a", 0), ("b", 1)], []),
    "other letters": ("Straße\nдорога\n道路\n", [
        ("Straße", 0), ("дорога", 1), ("道路", 2)], []),
    "a white void, but no other colour": (
        "a\nb\nvoid 255 255 255\n", [("a", 0), ("b", 1)], [(2, None)],
    ),
    "a void in colour, but no other colour": (
        "a\nb\nvoid 224 224 192\n", [("a", 0), ("b", 1)], [(2, (224, 224, 192))],
    ),
    "a void whose grey is its id": (
        "0 a\n7 void 7 7 7\n", [("a", 0)], [(7, None)],
    ),
    "labelme": (
        "__ignore__\n_background_\ncat\n",
        [("_background_", 0), ("cat", 1)], [(None, None)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
def test_what_is_read(kind, tmp_path):
    text, classes, void = READ[kind]
    path = tmp_path / "classes.txt"
    path.write_bytes(text.encode())
    found = read_classes(path)
    assert [(e.name, e.id, e.colour) for e in found.classes] == [
        (*each, None)[:3] for each in classes
    ]
    assert [(entry.id, entry.colour) for entry in found.void] == void


REFUSED = {
    "a heading alone": ("name\nroad\n", ["line 1, 'name'", "a heading, or a class?"]),
    "YAML": ("names:\n  0: road\n", ["line 1, 'names:'", "a heading"]),
    "a title": ("My classes:\n0 a\n1 b\n", ["line 1", "a heading"]),
    "a title without a colon": ("Classes of 2024\n0 a\n1 b\n", ["line 1", "no id"]),
    "columns that are not known": (
        "Name,Description\na,bare soil\nb,leaf\n",
        ["line 1", "a heading"],
    ),
    "a title that is a class's name, too": (
        "no label\nleaf\n",
        ["line 1", "a heading"],
    ),
    "a heading that the lines do not fit": ("id name\nleaf\nspot\n", ["a heading"]),
    "a heading of one colour": ("Red Label\nleaf\nspot\n", ["line 1", "a heading"]),
    "two words of headings": ("Class G\nClass R\n", ["line 1", "a heading"]),
    "a value": ("value no\nleaf\n", ["line 1", "a heading"]),
    "a legend": ("Legend\nleaf\n", ["line 1", "a heading"]),
    "a title in German": ("Klasse\nBlatt\n", ["line 1", "a heading"]),
    "a title in French": ("Catégories\nfeuille\n", ["line 1", "a heading"]),
    "a title in Chinese": ("类别\n道路\n", ["line 1", "a heading"]),
    "a title in capitals": ("CLASS_NAMES\nleaf\n", ["line 1", "a heading"]),
    "a title with a count": ("3 classes\na\nb\nc\n", ["line 1", "a heading"]),
    "a title with a count above ids": ("3 classes\n0 a\n1 b\n", ["line 1", "a head"]),
    "a total": ("Total: 2\na\nb\n", ["line 1", "no keys"]),
    "a total at the end": ("a\nb\nTotal: 2\n", ["line 3", "no keys"]),
    "a wrong count": ("4\na\nb\n", ["line 1", "a heading"]),
    "names and ids in turns": ("a\n0\nb\n1\n", ["line 2", "a heading"]),
    "a heading in the middle": ("a\nVehicles:\ncar\n", ["line 2", "a heading"]),
    "groups": ("nature\n  tree\ntraffic\n  car\n", ["line 2", "indented"]),
    "groups by tabs": ("nature\n\ttree\n", ["line 2", "indented"]),
    "all in one line": ("road, car, sky\n", ["line 1", "Write one per line"]),
    "C's comment": ("// ours\na\nb\n", ["line 1", "a comment, or a class?"]),
    "C's comment behind": ("a // low\nb\n", ["line 1", "a comment"]),
    "Lisp's comment": ("a\n; all of 2024\nb\n", ["line 2", "a comment"]),
    "TeX's comment": ("% ours\na\n", ["line 1", "a comment"]),
    "SQL's comment": ("-- ours\na\n", ["line 1", "a comment"]),
    "SQL's comment behind": ("a -- low\nb\n", ["line 1", "a comment"]),
    "a rule": ("a\n=====\nb\n", ["line 2", "a heading"]),
    "a rule of dashes": ("a\n----\nb\n", ["line 2", "a comment"]),
    "HTML's comment": ("<!-- ours -->\na\n", ["line 1", "a heading"]),
    "YOLO's YAML": ("nc: 2\nnames: ['a', 'b']\n", ["line 1", "no keys"]),
    "a # before a number": ("a\n#1 hit\nb\n", ["line 2", "a comment a space"]),
    "a hex colour with alpha": ("a #112233ff\nb #000000ff\n", ["line 1", "six digits"]),
    "an unread equals sign": ("a=b\nc=d\n", ["line 1", "a comment, or a class?"]),
    "a key before an id": ("leaf;id=1\nsoil;id=0\n", ["line 1", "no keys"]),
    "a key with a point": ("leaf no. 1\nsoil no. 0\n", ["line 1", "no keys"]),
    "a void with the id of a place": ("void: 0\na\nb\n", ["in line 1, 'void: 0'"]),
    "a word before an id": ("class 1: leaf\nclass 0: soil\n", ["line 1", "an id, or"]),
    "a key and an id": ("id 1 leaf\nid 0 soil\n", ["line 1", "an id, or"]),
    "an id in the middle": (
        "Leaf 1 (green)\nSoil 0 (brown)\n",
        ["line 1", "an id, or"],
    ),
    "an id of letters": ("leaf: 0x01\nsoil: 0x00\n", ["line 1", "an id, or"]),
    "an id with a point": ("1.0 leaf\n0.0 soil\n", ["line 1", "an id, or"]),
    "an id and a share": ("leaf\t1\t12.5\nsoil\t0\t80\n", ["line 1", "an id, or"]),
    "shares": ("leaf 12.5%\nsoil 80%\n", ["line 1", "an id, or"]),
    "two ids": ("0 7 road\n1 8 wall\n", ["line 1", "an id, or"]),
    "an id on either side": ("0 road 7\n1 wall 8\n", ["line 1", "an id, or"]),
    "an id behind a colour and a name": (
        "255 0 0 a 1\n0 0 255 b 0\n",
        ["line 1", "an id, or"],
    ),
    "a tight dash before an id": ("leaf-1\nsoil-0\n", ["line 1", "an id, or"]),
    "an underscore before an id": ("leaf_1\nsoil_0\n", ["line 1", "an id, or"]),
    "ids alone": ("1\n2\n3\n", ["line 1", "an id, or"]),
    "numbers that contradict the places": (
        "class 1\nclass 0\n",
        ["line 1", "an id, or"],
    ),
    "numbers one above the places": (
        "class 1\nclass 2\nbackground\n",
        ["line 1", "an id, or"],
    ),
    "one number at another place": ("leaf 1\nsoil\n", ["line 1", "an id, or"]),
    "ITK-SNAP's list": (
        '# ITK\n 0 0 0 0 0 0 0 "Clear"\n 1 255 0 0 1 1 1 "Bone"\n',
        ["line 2", "an id, or"],
    ),
    "GDAL's colours": ("10 0 100 0 255 Tree\n20 9 9 9 255 Shrub\n", ["an id, or"]),
    "a black void, but no other colour": ("a\nb\nvoid 0 0 0\n", ["line 3", "a grey"]),
    "a white void and a class of 255": (
        "0 a\n255 b\nvoid 255 255 255\n",
        ["line 3", "a grey"],
    ),
    "a count": ("2\na\nb\n", ["line 1", "a heading"]),
    "a list of JSON": ('["a",\n"b"]\n', ["line 1", "a heading"]),
    "an object of JSON": ('{"0": "a",\n"1": "b"}\n', ["line 1", "a heading"]),
    "keys": ("id: 2, name: a\nid: 0, name: b\n", ["line 1", "no keys"]),
    "a number behind some": ("a 1\nb 0\nc\n", ["line 3", "no number behind"]),
    "an alpha": ("a 255 0 0 255\nb 0 0 255 255\n", ["line 1", "four numbers"]),
    "an id and an alpha": ("0 a 255 0 0 9\n1 b 0 0 255 8\n", ["four numbers"]),
    "an alpha that varies": ("a 255 0 0 1\nb 0 0 255 0\n", ["line 1", "four numbers"]),
    "an alpha before names": (
        "64 128 64 255 a\n9 0 0 255 b\n",
        ["line 1", "four numbers"],
    ),
    "an id behind a colour": ("a 255 0 0 7\nb 0 0 255 8\n", ["line 1", "four numbers"]),
    "a short hex colour": ("a #3a3\nb #00f\n", ["line 1", "six digits"]),
    "a void of a class's colour": ("a 1 2 3\nvoid 1 2 3\n", ["colour of a class"]),
    "a class of -1": ("-1 a\n0 b\n", ["line 1", "id -1"]),
    "some ids": ("0 a\n1 b\nc\n", ["line 3, 'c'", "has no id"]),
    "a name twice": ("a\nb\na\n", ["line 3, 'a'", "same name as in line 1"]),
    "a name in two cases": ("Car\ncar\n", ["line 2", "same name"]),
    "an id twice": ("1 a\n1 b\n", ["line 2", "same id as in line 1"]),
    "a colour twice": ("a 1 2 3\nb 1 2 3\n", ["line 2", "same colour"]),
    "a colour too high": ("a 1 2 300\n", ["line 1", "at most 255 255 255"]),
    "an id too high": ("256 a\n", ["line 1", "id 256"]),
    "some colours": ("a 1 2 3\nb\n", ["line 2", "'b' has no colour"]),
    "colours on both sides": ("a 1 2 3\n4 5 6 b\n", ["line 2", "before or behind"]),
    "a table with a gap": ("name,r,g,b\na,1,2\n", ["line 2", "3 columns", "has 4"]),
    "a table with words": ("name,r,g,b\na,1,2,x\n", ["line 2", "colour '1 2 x'"]),
    "a table with a wrong id": ("id,name\nx,a\n", ["line 2", "id 'x'"]),
    "a table with two names": ("name,class,id\na,b,0\n", ["line 1", "two columns"]),
    "a long line": ("a\n" + " " * 50_000 + "b\n", ["line 2", "longer than 1000"]),
    "a long name": ("a" * 200 + "\n", ["line 1", "1 to 100 characters"]),
    "an escape sequence": ("a\x1b[2J\n", ["line 1", "can be printed"]),
    "void alone": ("void\n", ["0 classes"]),
    "nothing": ("# nothing\n", ["0 classes"]),
    "too many": ("".join(f"c{n}x\n" for n in range(256)), ["256 classes"]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused(kind):
    text, words = REFUSED[kind]
    with pytest.raises(UserError) as caught:
        parsed_classes(text, "classes.txt")
    message = str(caught.value)
    assert "\n" not in message and "\x1b" not in message and len(message) < 250
    for word in ["classes.txt", *words]:
        assert word in message


def test_what_is_no_text(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes("a\n".encode("utf-16"))
    with pytest.raises(UserError, match="save it as UTF-8"):
        read_classes(path)


def test_time_grows_with_the_text():
    def seconds(lines):
        text = "".join(f"{n:>3} {'a ,;: ' * 12} {n}\n" for n in range(lines))
        start = time.process_time()
        parsed_classes(text, "x")
        return time.process_time() - start

    seconds(20)
    assert seconds(250) < 40 * seconds(25) + 0.1


def test_labels_of_ids():
    labels = parsed_classes("Road\nVoid\nWall\n", "x").labels
    assert labels[:4].tolist() == [0, 255, 1, UNLISTED] and labels[255] == 255
    labels = parsed_classes("0 sky\n255 tree\n", "x").labels
    assert labels[[0, 1, 255]].tolist() == [0, UNLISTED, 1]


def test_ignoring():
    found = parsed_classes("background\n7 up\nleaf\n", "x")
    fewer = found.ignoring(["background"])
    assert fewer.names == ("7 up", "leaf")
    assert fewer.labels[:4].tolist() == [255, 0, 1, UNLISTED]
    assert found.ignoring(["0"]) == fewer, "an id in the masks is meant"
    assert found.ignoring(["0", "background", "0"]) == fewer
    assert found.ignoring(["9"]).labels[9] == 255
    assert found.ignoring([]) == found
    for values in (["leaves"], ["256"], ["0", "1", "2"]):
        with pytest.raises(UserError, match="^ignore: "):
            found.ignoring(values)


def test_colours_that_are_not_given():
    # The first colours of PASCAL VOC.
    found = parsed_classes("background\ncar\nvoid\ntree\n", "x")
    assert found.colours == ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    assert found.ids_of_colours == {}
    names = [str(number) for number in range(255)]
    assert len(set(default_colours(names))) == 255
    assert np.max(default_colours(names)) <= 255
