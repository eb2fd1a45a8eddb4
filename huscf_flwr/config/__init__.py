"""The configuration of a run: one schema for YAML files, ``--set`` and Flower's run config.

What the user sets comes first, then the mode (a file in ``conf/modes``), then the defaults of the schema. A
method's settings stand in a section named after it, and ``huscf_flwr.methods.resolved`` checks and completes
them.

Nested sections become dotted, kebab-case keys in Flower's run config (``huscf.plain-rounds``), where an empty
string means that nothing was said.
"""

from huscf_flwr.config.described import (
    Setting,
    SettingGroup,
    common_sections,
    common_settings,
    described_settings,
)
from huscf_flwr.config.own_place import changed_files, keep_named_files
from huscf_flwr.config.privacy_section import LEAST_OBSERVED, OF_ACTIVATIONS, PRIVACY_NEEDS, PrivacySection
from huscf_flwr.config.reading import (
    RunConfigValue,
    dump_config,
    from_run_config,
    load_config,
    to_run_config,
    with_absolute_paths,
)
from huscf_flwr.config.run_config import RunConfig
from huscf_flwr.config.sections import (
    PRESETS,
    CheckpointSection,
    ClassifierSection,
    ComputeSection,
    CutsSection,
    DataSection,
    EvaluationSection,
    ExecutorSection,
    FakeLabels,
    MethodSettings,
    ModelSection,
    OptimiserSection,
    Section,
    WirePreset,
    WireSection,
    WireUploads,
)

__all__ = [
    "LEAST_OBSERVED",
    "OF_ACTIVATIONS",
    "PRESETS",
    "PRIVACY_NEEDS",
    "CheckpointSection",
    "ClassifierSection",
    "ComputeSection",
    "CutsSection",
    "DataSection",
    "EvaluationSection",
    "ExecutorSection",
    "FakeLabels",
    "MethodSettings",
    "ModelSection",
    "OptimiserSection",
    "PrivacySection",
    "RunConfig",
    "RunConfigValue",
    "Section",
    "Setting",
    "SettingGroup",
    "WirePreset",
    "WireSection",
    "WireUploads",
    "changed_files",
    "common_sections",
    "common_settings",
    "described_settings",
    "dump_config",
    "from_run_config",
    "keep_named_files",
    "load_config",
    "to_run_config",
    "with_absolute_paths",
]
