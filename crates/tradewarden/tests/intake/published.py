"""What a strategy makes of prices that somebody else published, worked out without the gateway.

Reads the hourly EURUSD prices that the package `backtesting` ships, follows the crossing of two moving
averages, and prints the signals with the price at which each is sent, the fills that must come of them,
and what is made, as JSON. Decimal arithmetic throughout; nothing here is taken from the gateway.
"""

import csv
import importlib.util
import json
import pathlib
import sys
from decimal import Decimal

ROWS, FAST, SLOW = int(sys.argv[1]), 12, 48
QUANTITY = int(sys.argv[2])
TICK = Decimal("0.00001")
FAVOUR = Decimal("0.002")

# The package itself is not imported: only its data is wanted, without what it depends on.
package = pathlib.Path(importlib.util.find_spec("backtesting").submodule_search_locations[0])
with open(package / "test" / "EURUSD.csv", newline="") as file:
    closes = [Decimal(row["Close"]) for row in csv.DictReader(file)][:ROWS]
assert len(closes) == ROWS

steps, fills = [], []
held, entry, halved, realized = 0, Decimal(0), False, Decimal(0)


def fill(side, quantity, close):
    """A market order pays the quote, one tick from the price, and one tick more."""
    price = close + 2 * TICK if side == "buy" else close - 2 * TICK
    fills.append({"side": side, "quantity": str(quantity), "price": f"{price.normalize():f}"})
    return price


def reduce(quantity, close):
    global held, realized
    side = "sell" if held > 0 else "buy"
    price = fill(side, quantity, close)
    made = (price - entry) * quantity
    realized += made if held > 0 else -made
    held += -quantity if held > 0 else quantity


def step(close, signal):
    steps.append({"price": f"{close.normalize():f}", "signal": signal, "fills": len(fills)})


def above(at):
    """Whether the fast average is above the slow one; compared without dividing."""
    return sum(closes[at - FAST + 1 : at + 1]) * SLOW > sum(closes[at - SLOW + 1 : at + 1]) * FAST


for at in range(SLOW, ROWS):
    close, is_above = closes[at], above(at)
    if is_above != above(at - 1):
        if held:
            reduce(abs(held), close)
        side = "buy" if is_above else "sell"
        entry = fill(side, QUANTITY, close)
        held, halved = (QUANTITY if is_above else -QUANTITY), False
        step(close, {"action": "BUY" if is_above else "SELL", "comment": "ENTRY"})
    elif held and not halved and (close - entry) * (1 if held > 0 else -1) > entry * FAVOUR:
        reduce(-(-abs(held) // 2), close)
        halved = True
        step(close, {"action": "EXIT", "comment": "EXIT_50"})

reduce(abs(held), closes[-1])
step(closes[-1], {"action": "EXIT", "comment": "EXIT_FINAL"})
assert held == 0
json.dump({"steps": steps, "fills": fills, "realized": f"{realized.normalize():f}"}, sys.stdout)
