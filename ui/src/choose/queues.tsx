/** The queues as cards, one of which is chosen: a group of radio buttons. */

import React, { useEffect, useId, useRef } from 'react';

import type { Translator } from '../words.js';
import type { Card } from './cards.js';

interface Props {
  title: string;
  cards: Card[];
  /** The name of a queue; "" where none is named. */
  chosen: string;
  choose: (name: string) => void;
  trans: Translator;
}

export function QueueCards({ title, cards, chosen, choose, trans }: Props): React.ReactElement {
  const group = useId();
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // Of 50, the one that is chosen is in sight.
    list.current?.querySelector(':checked')?.parentElement?.scrollIntoView({ block: 'nearest' });
  }, []);
  const byItself = cards.find(card => card.isDefault)?.name ?? '';
  const isKnown = cards.some(card => card.name === (chosen || byItself));
  return (
    <fieldset className="rk-Choose-queues">
      <legend>{title}</legend>
      <div ref={list}>
        {!isKnown && (
          <label className="rk-Choose-card">
            <input type="radio" name={group} checked={true} readOnly={true} />
            <strong>{chosen || trans.__('By itself')}</strong>
            {chosen && <em>{trans.__('Not in the list of those that are here.')}</em>}
          </label>
        )}
        {cards.map(card => (
          <label key={card.name} className="rk-Choose-card" title={card.note}>
            <input
              type="radio"
              name={group}
              checked={card.name === (chosen || byItself)}
              onChange={() => choose(card.name === byItself ? '' : card.name)}
            />
            <strong>{card.name}</strong>
            {card.free.map(line => (
              <span key={line}>{line}</span>
            ))}
            <small>{card.size}</small>
            {card.note && <small>{card.note}</small>}
            {card.troubles.map(line => (
              <em key={line}>{line}</em>
            ))}
          </label>
        ))}
      </div>
    </fieldset>
  );
}
