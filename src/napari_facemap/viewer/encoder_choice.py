"""Which model of neural activity is fitted, what it predicts, and how late activity is."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QLabel

from napari_facemap.neural.targets import N_COMPONENTS
from napari_facemap.viewer.rows import beside

_MODELS = ("network", "linear", "ridge")


class EncoderChoice:
    """Boxes for a model, its targets and the delay, put into a form."""

    def __init__(self) -> None:
        self.model, self.targets, self.delay = QComboBox(), QComboBox(), QDoubleSpinBox()
        self.model.addItems(_MODELS)
        self.targets.addItem(f"{N_COMPONENTS} components", N_COMPONENTS)
        self.targets.addItem("each neuron", None)
        self.targets.setToolTip(
            "What the model predicts: principal components of the neurons, from which the neurons "
            "follow, or each neuron directly. With few neurons both are the same"
        )
        self.delay.setRange(-5, 5)
        self.delay.setSingleStep(0.1)
        self.delay.setSuffix(" s")
        self.delay.setToolTip(
            "Activity is predicted from behaviour so much earlier; the network also learns delays "
            "by itself"
        )

    def add_to(self, form: QFormLayout) -> None:
        """Put the boxes into a form."""
        form.addRow("Model", beside(self.model, QLabel("of"), self.targets))
        form.addRow("Delay", self.delay)

    @property
    def chosen(self) -> tuple[str, int | None, float]:
        """Model, number of components or None for neurons, and seconds."""
        return self.model.currentText(), self.targets.currentData(), self.delay.value()
