/** SHOW CATALOGS: the one that there is, in Doris's columns. */
import { textColumn } from '../../base/values.ts';
import { type Listing, everyRow } from './listing.ts';

export const CATALOGS: Listing<unknown> = {
  columns: [
    'CatalogId',
    'CatalogName',
    'Type',
    'IsCurrent',
    'CreateTime',
    'LastUpdateTime',
    'Comment',
  ].map(textColumn),
  likeColumns: ['CatalogName'],
  seen: everyRow,
  rows: () => [['0', 'internal', 'internal', 'Yes', null, null, 'Internal catalog']],
};
