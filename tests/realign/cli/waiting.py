"""What test_launch.py launches: `waiting.py FOLDER [how rank]`. Every process joins the others and leaves its id; the
one of that rank then ends in that way, and the others wait for it in vain."""

import os
import signal
import sys
import time
from pathlib import Path

from realign.errors import UserError
from realign.models import backend

backend.start()

from realign.train import distributed  # noqa: E402

folder, how, at = Path(sys.argv[1]), *(sys.argv[2:] or ("", "0"))
group = distributed.current()
(folder / f"{group.rank}.part").write_text(str(os.getpid()))
(folder / f"{group.rank}.part").replace(folder / str(group.rank))
met = group.gather({"rank": group.rank, "shares": os.environ.get("REALIGN_SHARES")})
print("met", len(met), met[-1]["shares"], os.environ["OMP_NUM_THREADS"], flush=True)
if how and group.rank == int(at):
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "fails":
        sys.exit(7)
    if how == "waits":
        time.sleep(600)
if how:
    try:
        group.gather("x")
    except UserError as error:
        (folder / f"{group.rank}.said").write_text(str(error))
        time.sleep(600)  # until it is ended
