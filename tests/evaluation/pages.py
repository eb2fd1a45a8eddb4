"""Reports as a browser would see them."""

from html.parser import HTMLParser

from huscf_flwr.evaluation.report import write_report
from tests.evaluation.run_folders import round_record


class Page(HTMLParser):
    """What a browser would see: sections, texts, and everything that could load something."""

    def __init__(self, html):
        super().__init__()
        self.sections, self.sources, self.tags, self.cells = [], [], [], []
        self.text = ""
        self._open = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append(tag)
        self._open.append(tag)
        if tag == "section":
            self.sections.append(values["id"])
        self.sources += [
            values[name] for name in ("src", "href", "srcset", "data", "action") if name in values
        ]

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if "style" in self._open:
            return
        self.text += data
        if "td" in self._open and data.strip():
            self.cells.append(data.strip())


def report_of(folder):
    return write_report(folder).read_text(encoding="utf-8")


def in_clusters(number, *clusters):
    """A round of as many clients as there are clusters given."""
    record = round_record(number, clients=len(clusters))
    for client, cluster in zip(record["clients"], clusters, strict=True):
        client["cluster"] = cluster
    return record
