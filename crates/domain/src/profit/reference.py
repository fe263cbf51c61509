"""Random fills and what they come to, computed with fractions and decimals, apart from our code.

    python3 reference.py > reference.txt

A line is one sequence: the point value, the mark, the fills (side quantity price fee), then the
quantity, what realised and unrealised come to together before fees (exact), what is realised by
average cost (rounded down to 8 decimals), the average price (cut to 8 decimals) and the fees.
"""

import random
from decimal import ROUND_DOWN, ROUND_FLOOR, Decimal, getcontext
from fractions import Fraction

getcontext().prec = 80
UNIT = Decimal("0.00000001")


def decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def sequence(chance: random.Random) -> str:
    point_value = Decimal(chance.choice(["1", "2", "20", "50", "0.1", "1000"]))
    decimals = chance.choice([0, 2, 8])
    step = Decimal(1).scaleb(-decimals)
    lot = Decimal(1).scaleb(-chance.choice([0, 3, 8]))
    price = lambda: Decimal(chance.randint(1, 10**6)) * step + chance.randint(1, 20000)
    fills, held, average = [], Fraction(0), Fraction(0)
    cash, realized, fees = Decimal(0), Fraction(0), Decimal(0)
    for _ in range(chance.randint(1, 24)):
        side, quantity, at = chance.choice(["buy", "sell"]), lot * chance.randint(1, 40), price()
        fee = Decimal(chance.randint(0, 300)).scaleb(-2)
        fills.append(f"{side} {quantity:f} {at:f} {fee:f}")
        signed = quantity if side == "buy" else -quantity
        cash -= signed * at * point_value
        fees += fee
        change, worth = Fraction(signed), Fraction(at)
        if held * change >= 0:
            average = (abs(held) * average + abs(change) * worth) / (abs(held) + abs(change))
        else:
            closed = min(abs(held), abs(change))
            gain = (worth - average) * closed * (1 if held > 0 else -1)
            realized += gain * Fraction(point_value)
            if abs(change) > abs(held):
                average = worth
        held += change
        if held == 0:
            average = Fraction(0)
    mark = price()
    total = cash + decimal(held) * mark * point_value
    return "; ".join([
        f"{point_value:f}",
        f"{mark:f}",
        ", ".join(fills),
        f"{decimal(held):f}",
        f"{total:f}",
        f"{decimal(realized).quantize(UNIT, ROUND_FLOOR):f}",
        f"{decimal(average).quantize(UNIT, ROUND_DOWN):f}",
        f"{fees:f}",
    ])


if __name__ == "__main__":
    chance = random.Random(20261122)
    for _ in range(150):
        print(sequence(chance))
