"""Checkpoints of Lightning, with hyperparameters, callbacks and a data module."""

import functools
import os
import pathlib
import shutil
import tempfile

os.environ.update(CUDA_VISIBLE_DEVICES="")

import pytorch_lightning as pl
import torch


def version():
    return f"pytorch_lightning{pl.__version__}"


class Net(pl.LightningModule):
    def __init__(self, hidden=4, layers=(1, 2), options=None):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(3, 1)

    def training_step(self, batch, index):
        loss = self.layer(batch).mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters())
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class Rows(pl.LightningDataModule):
    def __init__(self, batch=2):
        super().__init__()
        self.save_hyperparameters()

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.randn(6, 3), batch_size=2)


@functools.cache
def _folder():
    from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, StochasticWeightAveraging, Timer

    out = tempfile.mkdtemp()
    callbacks = [
        ModelCheckpoint(dirpath=out, filename="best", monitor="loss", save_last=True),
        EarlyStopping("loss"),
        Timer(duration="00:01:00:00"),
        StochasticWeightAveraging(1e-2),
    ]
    trainer = pl.Trainer(
        max_epochs=2,
        logger=False,
        callbacks=callbacks,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Net(options={"a": {"b": 1}}), datamodule=Rows())
    trainer.save_checkpoint(out + "/final.ckpt")
    return pathlib.Path(out)


def _copied(name):
    return lambda path: shutil.copyfile(_folder() / name, path)


def _hyperparameters(path):
    torch.save({"hparams": Net(options={"deep": {"er": [1]}}).hparams, "epoch": 3}, path)


FILES = {"best.ckpt": _copied("best.ckpt"), "final.ckpt": _copied("final.ckpt"), "hparams.pt": _hyperparameters}
