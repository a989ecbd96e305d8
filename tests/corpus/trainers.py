"""What Hugging Face's Trainer leaves in a checkpoint, beside weights and configuration."""

import functools
import os
import pathlib
import shutil
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", DISABLE_TELEMETRY="1")

import accelerate
import torch
import transformers


def version():
    return f"transformers{transformers.__version__}-accelerate{accelerate.__version__}"


@functools.cache
def _checkpoint():
    """A folder with a checkpoint after two steps of a tiny model."""
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    out = tempfile.mkdtemp()
    config = BertConfig(
        vocab_size=7,
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=4,
        max_position_embeddings=8,
    )
    settings = {"output_dir": out, "max_steps": 2, "save_steps": 2, "report_to": [], "use_cpu": True}
    try:
        arguments = TrainingArguments(**settings, save_safetensors=False)
    except TypeError:
        arguments = TrainingArguments(**settings)
    rows = [{"input_ids": torch.tensor([1, 2, 3]), "labels": torch.tensor(0)} for _ in range(4)]
    Trainer(model=BertForSequenceClassification(config), args=arguments, train_dataset=rows).train()
    return pathlib.Path(out) / "checkpoint-2"


def _copied(name):
    return lambda path: shutil.copyfile(_checkpoint() / name, path)


def _arguments(path):
    """More of its enumerations."""
    from transformers import Seq2SeqTrainingArguments

    arguments = Seq2SeqTrainingArguments(
        output_dir="runs",
        save_strategy="epoch",
        logging_strategy="epoch",
        hub_strategy="end",
        optim="sgd",
        lr_scheduler_type="cosine",
        debug="underflow_overflow",
        use_cpu=True,
        report_to=[],
    )
    torch.save(arguments, path)


FILES = {
    **{name: _copied(name) for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth")},
    "seq2seq_args.bin": _arguments,
}
