import re
from html.parser import HTMLParser

import pytest
from tests.unit.report import factories

from heliotrope.report import IndexEntry, render_html, render_index_html
from heliotrope.report._html import _MAX_PREDICATE

DENIED, BLOBS = factories.denied()
VOID = {"meta", "br", "img", "circle", "rect", "line"}


class Outline(HTMLParser):
    """Tags with their attributes' names, in order; complains about what is not closed."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.ids, self.open, self.words = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def page(assessment, blobs=BLOBS, rules=factories.RULES):
    return render_html(assessment, read_blob=blobs.get, rules=rules)


PAGES = {
    "denied": page(DENIED),
    "every": page(factories.every_outcome()),
    "empty": page(factories.static_empty()),
    "index": render_index_html([IndexEntry("a", "b", "allow", 0, True, "c", "d/e.html")]),
}


@pytest.mark.parametrize("name", PAGES)
def test_no_script_and_nothing_from_outside(name):
    outline = Outline(PAGES[name])
    assert not {tag for tag, _ in outline.tags} & {"script", "iframe", "object", "embed", "link", "base", "form"}
    policy = next(value for _, _, value in outline.attributes if value and value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    for _, attribute, value in outline.attributes:
        assert not attribute.startswith("on")
        if attribute == "src":
            assert value.startswith("data:image/png;base64,")
        if attribute == "href":
            assert value.startswith("#") or value == "d/e.html"
    assert "url(" not in PAGES[name]
    assert "@import" not in PAGES[name]


@pytest.mark.parametrize("name", PAGES)
def test_ids_are_unique_and_links_lead_somewhere(name):
    outline = Outline(PAGES[name])
    assert len(outline.ids) == len(set(outline.ids))
    targets = {value[1:] for tag, key, value in outline.attributes if key == "href" and value.startswith("#")}
    assert targets <= set(outline.ids)


def test_content_stands_in_the_order_people_need():
    text = Outline(PAGES["denied"]).text
    parts = [
        "denied robust-accuracy: wanted",
        "Policy, rule by rule",
        "Measured",
        "Under attack",
        "Did the attack itself work?",
    ]
    parts += [
        "The most instructive failures",
        "Findings",
        "Checks",
        "Since the last run",
        "Provenance",
        "helio ledger verify",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert factories.POLICY in text
    assert "floor robust_accuracy is 0.8" in text


def test_measured_numbers_lead_to_the_evidence_that_holds_them():
    links = re.findall(r'<a class="num nb" href="#([0-9a-f]{64})"[^>]*>([^<]+)</a>', PAGES["denied"])
    _, clean, attack = (entry.id for entry in DENIED.evidence)
    assert (clean, "98.20 %") in links
    assert (attack, "68.94 %") in links
    assert (attack, "2,926") in links


def test_curve_is_labelled_and_has_band_floor_and_clean_point():
    assert re.search(r'<svg class="curve" role="img"[^>]*aria-labelledby="curve-1-title curve-1-desc"', PAGES["denied"])
    for part in ('class="band"', 'class="floor"', "floor 80.00 %", 'class="dot clean"', "ε 0.1: 68.94 %"):
        assert part in PAGES["denied"]


def test_words_carry_what_colours_say():
    text = Outline(PAGES["every"]).text
    for word in ("✗ fail", "? unknown", "✓ pass", "· not applicable", "! error", "? inconclusive", "○ skipped"):
        assert word in text
    for word in ("◆ critical", "▲ high", "■ medium", "● low", "○ info"):
        assert word in text


def test_what_did_not_conclude_is_said():
    text = Outline(PAGES["every"]).text
    assert "3 checks did not come to a conclusion. That is not a pass." in text
    assert "did not end within 1800 s timeout" in text
    assert "Nothing is known of this project" in Outline(PAGES["empty"]).text


def test_evidence_of_another_kind_is_shown_as_it_is():
    text = Outline(PAGES["every"]).text
    assert "https://example.org/other/v2" in text
    assert '"answer": 42' in text


def test_evidence_that_only_claims_a_type_is_shown_generically():
    odd = DENIED.evidence[2].model_copy(update={"predicate": {"attack": "pgd"}})
    shown = page(DENIED.model_copy(update={"evidence": (odd,)}))
    assert "Under attack" not in shown
    assert "&#34;attack&#34;: &#34;pgd&#34;" in shown


def test_an_endless_predicate_is_cut_and_says_so():
    large = factories.entry({"a": factories.digest("a")}, "urn:x", {"text": "x" * (3 * _MAX_PREDICATE)})
    shown = page(DENIED.model_copy(update={"evidence": (large,)}))
    assert "cut here after 100,000 characters; report.json has the whole predicate" in shown
    assert len(shown) < 2 * _MAX_PREDICATE


def test_pictures_are_the_recorded_bytes():
    assert PAGES["denied"].count('<img src="data:image/png;base64,') == 18


@pytest.mark.parametrize(
    ("swap", "said"),
    [
        (lambda data: None, "not in the blob store"),
        (lambda data: data + b"x", "not the picture that was recorded"),
        (lambda data: factories.png(lambda x, y: 0), "not the picture that was recorded"),
    ],
)
def test_missing_and_changed_pictures_are_not_shown(swap, said):
    shown = render_html(DENIED, read_blob=lambda key: swap(BLOBS[key]), rules=())
    assert "<img" not in shown
    assert shown.count(said) == 18


def test_a_blob_that_is_no_picture_is_not_shown():
    blobs = factories.Blobs()
    svg = blobs.keep(b"<svg onload=alert(1)>")
    predicate = factories.evasion(blobs)
    example = predicate.examples[0].model_copy(update={"original": svg, "difference": None})
    entry = factories.entry({}, factories.EVASION_PREDICATE, predicate.model_copy(update={"examples": (example,)}))
    shown = page(DENIED.model_copy(update={"evidence": (entry,)}), blobs)
    assert shown.count("<img") == 1
    assert "not the picture that was recorded" in shown
    assert "no picture of this kind of input" in shown


@pytest.mark.parametrize("text", factories.HOSTILE)
def test_hostile_text_changes_nothing_but_text(text):
    def outline(word):
        assessment, blobs = factories.hostile(word)
        return Outline(render_html(assessment, read_blob=blobs.get, rules=[factories.hostile_rule(word)])).tags

    assert outline(text) == outline("harmless")
    shown = page(factories.hostile(text)[0])
    assert factories.visible(shown)


@pytest.mark.parametrize("href", ["javascript:alert(1)", "data:text/html,x", "vbscript:x", "JaVaScript:x"])
def test_the_index_links_no_scheme_that_runs(href):
    assert "<a " not in render_index_html([IndexEntry("a", "b", "deny", 1, True, "c", href)])


@pytest.mark.parametrize("href", ["a b/report.html", "../x/report.html", "report.html", "https://x.example/"])
def test_the_index_links_reports(href):
    assert f'<a href="{href}">' in render_index_html([IndexEntry("a", "b", "deny", 1, True, "c", href)])


def test_the_index_says_when_a_verdict_is_a_surprise():
    entry = IndexEntry("a", "b", "made-up", 3, False, "c", "d.html")
    text = Outline(render_index_html([entry])).text
    assert "1 verdict not as expected" in text
    assert "? made-up" in text
    assert "Nothing was assessed" in Outline(render_index_html([])).text
