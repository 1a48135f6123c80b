import { hash32 } from '../base/random.ts';

/** Words of seven letters, then of six for the ends of sentences: every word takes eight bytes with what follows. */
const WORDS =
  'harbour meadows granite whisper lantern journey cascade orchard pattern balance shelter compass evening forests gallery horizon islands kitchen library machine network october parcels quietly rainbow science tonight village weather courage bridges candles diamond element feather gardens history insight justice kingdom letters message natural outdoor painter quarter railway seasons teacher uniform visitor welcome brother captain drawing explore fortune general healthy impulse jasmine keeping leather morning nothing opinion patient quality respect silence theatre upwards venture western already between certain develop examine finally growing however imagine joining knowing looking meaning nearest observe perhaps reading several through usually various without another because consist distant expects follows greater helping include justify largely measure notices offered produce quickly reaches settles thought unusual winters working younger'
    .split(' ')
    .filter((word) => /^[a-z]{7}$/.test(word));
const LAST_WORDS =
  'window garden winter summer bridge mirror travel silver simple moment shadow stream forest letter market branch canvas dinner engine flower ground island jungle kettle ladder museum nature orange people record school ticket valley wisdom yellow answer change desire effort future growth honour ideals judges memory number option person public reason result secret system theory update volume wonder worker'
    .split(' ')
    .filter((word) => /^[a-z]{6}$/.test(word));
const SLOT_BYTES = 8;
const SENTENCE_WORDS = 9;

/**
 * The beginning of an endless readable ASCII text, decided by `key` alone. A longer one begins with a shorter
 * one. O(length).
 */
export function answerText(key: number, length: number): string {
  let text = '';
  for (let slot = 0; text.length < length; slot++) text += slotText(key, slot);
  return text.slice(0, length);
}

function slotText(key: number, slot: number): string {
  const place = slot % SENTENCE_WORDS;
  const draw = hash32(key, slot, 0);
  if (place === SENTENCE_WORDS - 1) return `${LAST_WORDS[draw % LAST_WORDS.length]!}. `;
  const word = WORDS[draw % WORDS.length]!;
  return `${place === 0 ? word[0]!.toUpperCase() + word.slice(1) : word} `;
}

/** Where sentences end: the length at which an answer of about `length` bytes reads complete, at least one sentence. */
export function sentenceEnd(length: number): number {
  const sentence = SENTENCE_WORDS * SLOT_BYTES;
  return Math.max(1, Math.round(length / sentence)) * sentence - 1;
}
