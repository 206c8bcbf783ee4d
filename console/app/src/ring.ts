/** A Ring keeps the last items that were put into it, and no more: memory stays flat however long a page is open. */
export class Ring<T> {
	private items: T[] = []
	private first = 0

	/** dropped counts what had to make room. */
	dropped = 0

	constructor(readonly capacity: number) {}

	get length() {
		return this.items.length
	}

	push(item: T) {
		if (this.items.length < this.capacity) {
			this.items.push(item)
			return
		}
		this.items[this.first] = item
		this.first = (this.first + 1) % this.capacity
		this.dropped++
	}

	/** at is an item by its place, from 0, the oldest. */
	at(i: number): T {
		return this.items[(this.first + i) % this.items.length]
	}

	clear() {
		this.items = []
		this.first = 0
		this.dropped = 0
	}

	*[Symbol.iterator]() {
		for (let i = 0; i < this.length; i++) yield this.at(i)
	}
}
