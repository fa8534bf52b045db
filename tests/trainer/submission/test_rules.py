import re

import pytest

from schemas.errors import UserError
from trainer.submission import rules

RULES = {name: rule for name, rule in vars(rules).items() if isinstance(rule, rules.Rule)}


@pytest.mark.parametrize("name", RULES)
def test_what_a_rule_shows_is_what_it_takes(name):
    rule = RULES[name]
    examples = re.split(r",? or |, | for ", rule.example)
    rule.check("--flag", examples[0])
    rule.check("--flag", None)
    for value in ("", " ", f"{examples[0]} x", f"{examples[0]}\n"):
        with pytest.raises(UserError, match=r"--flag is not .*Write it as"):
            rule.check("--flag", value)


@pytest.mark.parametrize(
    ("rule", "taken", "refused"),
    [
        (rules.PROJECT, ["p", "a.org:my-project", "123456789"], ["My Project", "P", "-p"]),
        (rules.REGION, ["us-central1", "northamerica-northeast2"], ["atlantis", "europe-west4-a", "eu"]),
        (rules.MACHINE, ["a2-highgpu-1g", "ct5lp-hightpu-4t", "e2-highcpu-16"], ["banana", "N1-STANDARD-8"]),
        (rules.ACCOUNT, ["1-compute@developer.gserviceaccount.com"], ["trainer", "a@b"]),
        (rules.LABEL, ["a", "a-b", "9"], ["a.b", "A", "a-", "a" * 64]),
        (rules.OBJECT, ["train.data", "a" * 63], ["Claim_1", "a..b", "x@p.iam.gserviceaccount.com"]),
        (rules.CORES, ["0.5", "500m"], ["four", "4Gi", "-1"]),
        (rules.MEMORY, ["16Gi", "1.5G", "1000000"], ["16GB", "16 Gi", "lots", "4m"]),
        (
            rules.SLURM_TIME,
            ["30", "30:00", "1-0", "2-12:30:00", "UNLIMITED", "infinite"],
            ["soon", "4h", "1:2:3:4"],
        ),
        (rules.SLURM_NAME, ["gpu", "gpu,long", "a_b.c"], ["a b", "$(x)", "a;b"]),
    ],
)
def test_a_rule_is_the_cluster_s(rule, taken, refused):
    for value in taken:
        rule.check("--flag", value)
    for value in refused:
        with pytest.raises(UserError):
            rule.check("--flag", value)
